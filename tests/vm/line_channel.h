// SPDX-License-Identifier: Apache-2.0
// Lines over a descriptor, both ways, with a deadline: how guest and host talk over a serial line, and how QEMU's
// monitor is spoken to.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::vm {

using Clock = std::chrono::steady_clock;

// For one thread, but for the descriptor itself, which another may shut down.
class LineChannel {
 public:
  explicit LineChannel(UniqueFd descriptor) noexcept : descriptor_(std::move(descriptor)) {}

  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }
  // The newline is added.
  [[nodiscard]] Status send(std::string_view line);
  // Without its newline. kTimeout at the deadline, kDisconnected at the end of the stream.
  [[nodiscard]] Result<std::string> receive(Clock::time_point deadline);

 private:
  UniqueFd descriptor_;
  std::string received_;
};

}  // namespace warden::vm
