// SPDX-License-Identifier: Apache-2.0
// Random batches: whatever a client's message holds, it is a batch within the limits or a broken protocol, and what
// is run of it reads and writes no byte beyond what came.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

#include "tools/wardend/batch.h"

namespace warden::daemon {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Proves that lengths are believed only as far as the message's own agrees with them.
TEST(BatchFuzz, RandomBatches) {
  const std::uint64_t seed = number_from("WARDEN_FUZZ_SEED", std::random_device{}());
  SCOPED_TRACE("WARDEN_FUZZ_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(number_from("WARDEN_FUZZ_SECONDS", 5));
  std::uint64_t accepted = 0;
  while (std::chrono::steady_clock::now() < end && !testing::Test::HasFailure()) {
    shm::Batch head{};
    head.operation_count = static_cast<std::uint32_t>(below(8) == 0 ? random() : below(shm::kMaxBatchOperations + 4));
    std::vector<shm::BatchOperation> operations(below(4) == 0 ? below(shm::kMaxBatchOperations + 4)
                                                              : std::min(head.operation_count, 600U));
    std::uint64_t written = 0;
    std::uint64_t read = 0;
    for (shm::BatchOperation& operation : operations) {
      operation.kind = static_cast<std::uint32_t>(below(500) == 0 ? random() : 1 + below(9));
      const auto kind = static_cast<shm::BatchKind>(operation.kind);
      operation.length_bytes = static_cast<std::uint32_t>(below(300) == 0 ? random() : is_word(kind) ? 4 : below(90));
      (is_write(kind) ? written : read) += operation.length_bytes;
    }
    std::vector<std::byte> body(sizeof(head) + operations.size() * sizeof(shm::BatchOperation));
    std::memcpy(body.data(), &head, sizeof(head));
    if (!operations.empty()) {
      std::memcpy(body.data() + sizeof(head), operations.data(), operations.size() * sizeof(shm::BatchOperation));
    }
    const std::size_t data = below(4) == 0 ? below(shm::kMaxBatchBytes) : std::min<std::uint64_t>(written, 60'000);
    body.resize(body.size() + data);
    if (below(8) == 0) body.resize(below(body.size() + 1));
    const auto batch = BatchWork::parse(body);
    if (!batch) {
      ASSERT_EQ(batch.error().code, Code::kProtocol);
      continue;
    }
    ++accepted;
    // What was accepted must be what was sent.
    std::uint64_t writes = 0;
    std::uint64_t reads = 0;
    ASSERT_LE(head.operation_count, shm::kMaxBatchOperations);
    for (std::size_t i = 0; i < head.operation_count; ++i) {
      shm::BatchOperation operation{};
      ASSERT_LE(sizeof(head) + (i + 1) * sizeof(operation), body.size());
      std::memcpy(&operation, body.data() + sizeof(head) + i * sizeof(operation), sizeof(operation));
      ASSERT_TRUE(operation.kind >= 1 && operation.kind <= 9);
      (is_write(static_cast<shm::BatchKind>(operation.kind)) ? writes : reads) += operation.length_bytes;
    }
    ASSERT_EQ(body.size(), sizeof(head) + head.operation_count * sizeof(shm::BatchOperation) + writes);
    ASSERT_LE(writes, shm::kMaxBatchBytes);
    ASSERT_LE(reads, shm::kMaxBatchBytes);
  }
  EXPECT_GT(accepted, 0U) << "nothing was ever accepted: this test tests nothing";
}

}  // namespace
}  // namespace warden::daemon
