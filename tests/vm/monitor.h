// SPDX-License-Identifier: Apache-2.0
// QEMU's monitor (QMP): commands with their answers, and events with the patience to wait for them.
#pragma once

#include <deque>
#include <nlohmann/json.hpp>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tests/vm/line_channel.h"

namespace warden::vm {

// For one thread.
class Monitor {
 public:
  // `socket`: connected to a monitor in control mode that nobody has spoken to yet.
  explicit Monitor(UniqueFd socket) : channel_(std::move(socket)) {}

  // Once, before anything else.
  [[nodiscard]] Status greet();
  [[nodiscard]] int descriptor() const noexcept { return channel_.descriptor(); }
  // What it returned, or its reason for refusing.
  [[nodiscard]] Result<nlohmann::json> execute(const std::string& command, const nlohmann::json& arguments);
  // The data of the first such event that nobody has taken yet; with a device named, of that one.
  [[nodiscard]] Result<nlohmann::json> await_event(const std::string& name, const std::string& device);

 private:
  [[nodiscard]] Result<nlohmann::json> next(Clock::time_point deadline);

  LineChannel channel_;
  std::deque<nlohmann::json> events_;
};

}  // namespace warden::vm
