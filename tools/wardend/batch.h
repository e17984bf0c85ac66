// SPDX-License-Identifier: Apache-2.0
// Many accesses in one message: checked as a whole, carried out in order until one fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <warden/result.h>

#include "shm/message.h"
#include "tools/wardend/operation.h"

namespace warden::daemon {

// A message's content, copied and found consistent.
class BatchWork {
 public:
  // `body` is all that follows the header. kProtocol when kinds, counts and lengths do not agree with it or are over
  // the limits.
  [[nodiscard]] static Result<BatchWork> parse(std::span<const std::byte> body);

  [[nodiscard]] std::uint32_t device_index() const noexcept { return head_.device_index; }
  [[nodiscard]] std::uint64_t epoch() const noexcept { return head_.epoch; }

  // On the card's thread: the reply's body. `failure` is the error it ended with, if one of the operations failed.
  struct Outcome {
    std::vector<std::byte> reply;
    Status failure;
  };
  [[nodiscard]] Outcome run(const OperationScope& scope) const;

 private:
  shm::Batch head_{};
  std::vector<shm::BatchOperation> operations_;
  std::vector<std::byte> written_;  // the data of all writes
  std::size_t read_bytes_ = 0;      // of all reads
};

}  // namespace warden::daemon
