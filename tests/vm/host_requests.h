// SPDX-License-Identifier: Apache-2.0
// The host's end of the guest's second serial line: carries out what tests in the guest ask for, one after the other.
#pragma once

#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include <warden/unique_fd.h>

#include "tests/vm/line_channel.h"
#include "tests/vm/monitor.h"

namespace warden::vm {

// A thread of its own serves until the object goes.
class HostRequests {
 public:
  // `line`: the serial line; `simulator`: the directory that warden-sim serves.
  HostRequests(UniqueFd line, UniqueFd monitor, std::string simulator);
  HostRequests(const HostRequests&) = delete;
  HostRequests& operator=(const HostRequests&) = delete;
  ~HostRequests();

 private:
  void serve();
  [[nodiscard]] Result<std::string> carry_out(const std::vector<std::string>& words);
  [[nodiscard]] Result<std::string> run_simulator_command(const std::vector<std::string>& words);

  LineChannel line_;
  Monitor monitor_;
  std::string simulator_;
  std::jthread thread_;
};

}  // namespace warden::vm
