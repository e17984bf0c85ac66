// SPDX-License-Identifier: Apache-2.0
// Parsing a batch, and its reply.
#include "tools/wardend/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace warden::daemon {

namespace {

template <typename Value>
void append(std::vector<std::byte>& to, const Value& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

Result<BatchWork> BatchWork::parse(std::span<const std::byte> body) {
  BatchWork work;
  if (body.size() < sizeof(shm::Batch)) return fail(Code::kProtocol, "a batch shorter than its head");
  std::memcpy(&work.head_, body.data(), sizeof(shm::Batch));
  body = body.subspan(sizeof(shm::Batch));
  const std::size_t count = work.head_.operation_count;
  if (count > shm::kMaxBatchOperations || count > body.size() / sizeof(shm::BatchOperation)) {
    return fail(Code::kProtocol, fmt::format("a batch of {} operations in {} bytes (at most {} operations)", count,
                                             body.size(), shm::kMaxBatchOperations));
  }
  work.operations_.resize(count);
  if (count != 0) std::memcpy(work.operations_.data(), body.data(), count * sizeof(shm::BatchOperation));
  body = body.subspan(count * sizeof(shm::BatchOperation));
  std::uint64_t written = 0;
  std::uint64_t read = 0;  // 512 lengths of 32 bits do not overflow
  for (const shm::BatchOperation& operation : work.operations_) {
    if (Status sound = check_operation(operation); !sound) return std::unexpected(sound.error());
    (is_write(static_cast<shm::BatchKind>(operation.kind)) ? written : read) += operation.length_bytes;
  }
  if (written != body.size() || written > shm::kMaxBatchBytes || read > shm::kMaxBatchBytes) {
    return fail(Code::kProtocol, fmt::format("a batch that writes {} bytes and reads {} came with {} bytes of data (at "
                                             "most {} either way)",
                                             written, read, body.size(), shm::kMaxBatchBytes));
  }
  work.written_.assign(body.begin(), body.end());
  work.read_bytes_ = read;
  return work;
}

BatchWork::Outcome BatchWork::run(const OperationScope& scope) const {
  std::vector<std::uint32_t> codes(operations_.size(), shm::kBatchNotRun);
  std::vector<std::byte> data(read_bytes_);
  std::size_t written = 0;
  std::size_t read = 0;
  std::size_t done = 0;
  Status failure;
  for (; done < operations_.size(); ++done) {
    const shm::BatchOperation& operation = operations_[done];
    const std::size_t length = operation.length_bytes;
    const bool writes = is_write(static_cast<shm::BatchKind>(operation.kind));
    const auto from = std::span(written_).subspan(written, writes ? length : 0);
    const auto into = std::span(data).subspan(read, writes ? 0 : length);
    failure = perform(scope, operation, from, into);
    codes[done] = failure ? 0 : static_cast<std::uint32_t>(failure.error().code);
    if (!failure) break;
    written += from.size();
    read += into.size();
  }
  const std::string text = failure ? std::string() : failure.error().message.substr(0, shm::kMaxBatchTextBytes);
  Outcome outcome{{}, std::move(failure)};
  append(outcome.reply, shm::BatchResult{.operation_count = static_cast<std::uint32_t>(operations_.size()),
                                         .done_count = static_cast<std::uint32_t>(done),
                                         .data_bytes = static_cast<std::uint32_t>(read),
                                         .text_bytes = static_cast<std::uint32_t>(text.size())});
  for (const std::uint32_t code : codes) append(outcome.reply, code);
  outcome.reply.insert(outcome.reply.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(read));
  const auto words = std::as_bytes(std::span(text));
  outcome.reply.insert(outcome.reply.end(), words.begin(), words.end());
  return outcome;
}

}  // namespace warden::daemon
