// SPDX-License-Identifier: Apache-2.0
// The command line of wardend.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bpf/exit_watcher.h"
#include "tools/wardend/broker.h"

namespace warden::daemon {

struct Options {
  std::string socket_path;
  std::vector<std::string> devices;
  std::string state_directory;
  bool default_state_directory = false;  // may be made with its parents
  std::optional<std::uint32_t> operator_group;
  std::string log_level = "info";
  int ready_fd = -1;
  std::optional<std::string> umd_directory;  // the bridge to tt-umd's listeners; none: no bridge
  std::chrono::milliseconds umd_grace{2000};
  std::optional<bpf::Mechanism> exit_watcher;  // how deaths are noticed; none: the best that works
  std::size_t exit_ring_bytes = bpf::Options().ring_bytes;
  std::optional<std::string> allocation_socket;  // the bridge for tt-metal's allocation messages; none: no bridge
  BrokerLimits limits;                           // what one session may hold
};

// The options, or the status to exit with: help, version and usage errors have been printed.
[[nodiscard]] std::variant<Options, int> parse_options(int argc, char** argv);

}  // namespace warden::daemon
