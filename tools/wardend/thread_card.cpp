// SPDX-License-Identifier: Apache-2.0
// Accesses as jobs.
#include "tools/wardend/thread_card.h"

#include <fmt/format.h>

#include <cstring>
#include <future>
#include <memory>
#include <utility>

namespace warden::daemon {

namespace {

// Longer than any access of another takes that ends at all.
constexpr std::chrono::seconds kPatience{5};

}  // namespace

Result<ThreadCard::Bytes> ThreadCard::perform(Access access) {
  if (thread_.direct_session() != 0) {
    return fail(Code::kBusy, fmt::format("{} is driven by a session itself", thread_.name()));
  }
  auto promise = std::make_shared<std::promise<Result<Bytes>>>();
  std::future<Result<Bytes>> answer = promise->get_future();
  const bool queued = thread_.post(
      [promise, access = std::move(access)](chip::Chip& chip) { promise->set_value(access(chip.handle())); });
  if (!queued) return fail(Code::kOffBus, fmt::format("{} is lost", thread_.name()));
  if (answer.wait_for(kPatience) != std::future_status::ready) {
    return fail(Code::kTimeout,
                fmt::format("{}: an access to the fabric waited {} s for its turn", thread_.name(), kPatience.count()));
  }
  return answer.get();
}

Status ThreadCard::read(chip::Tile tile, chip::CardAddress address, std::span<std::byte> into) {
  const auto bytes = perform([tile, address, size = into.size()](const chip::Handle& handle) -> Result<Bytes> {
    Bytes read(size);
    if (Status done = handle.read(tile, address, read); !done) return std::unexpected(std::move(done).error());
    return read;
  });
  if (!bytes) return std::unexpected(bytes.error());
  if (!into.empty()) std::memcpy(into.data(), bytes->data(), into.size());
  return {};
}

Status ThreadCard::write(chip::Tile tile, chip::CardAddress address, std::span<const std::byte> from) {
  const auto done =
      perform([tile, address, data = Bytes(from.begin(), from.end())](const chip::Handle& handle) -> Result<Bytes> {
        if (Status written = handle.write(tile, address, data); !written) return std::unexpected(written.error());
        return Bytes();
      });
  return done ? Status() : std::unexpected(done.error());
}

Result<std::uint32_t> ThreadCard::read32(chip::Tile tile, chip::CardAddress address) {
  const auto bytes = perform([tile, address](const chip::Handle& handle) -> Result<Bytes> {
    const auto word = handle.read32(tile, address);
    if (!word) return std::unexpected(word.error());
    Bytes read(sizeof(*word));
    std::memcpy(read.data(), &*word, sizeof(*word));
    return read;
  });
  if (!bytes) return std::unexpected(bytes.error());
  std::uint32_t word = 0;
  std::memcpy(&word, bytes->data(), sizeof(word));
  return word;
}

Status ThreadCard::write32(chip::Tile tile, chip::CardAddress address, std::uint32_t value) {
  const auto done = perform([tile, address, value](const chip::Handle& handle) -> Result<Bytes> {
    if (Status written = handle.write32(tile, address, value); !written) return std::unexpected(written.error());
    return Bytes();
  });
  return done ? Status() : std::unexpected(done.error());
}

}  // namespace warden::daemon
