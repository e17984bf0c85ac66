// SPDX-License-Identifier: Apache-2.0
// A whole host for a test, in a directory of its own: simulated cards, wardend, and the programs people run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace warden::test {

class Host {
 public:
  // The daemon's first card is the simulator's first one, unless an option names one by its PCI address.
  // Both started and ready when they return; false and a reason in `why()` otherwise.
  [[nodiscard]] bool start_simulator(const std::vector<std::string>& options = {});
  [[nodiscard]] bool start_daemon(const std::vector<std::string>& options = {});
  // Both.
  [[nodiscard]] bool start() { return start_simulator() && start_daemon(); }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

  // A program of build/PRESET/bin, with $WARDEN_SOCKET set.
  [[nodiscard]] Process run(const std::string& program, std::vector<std::string> arguments = {},
                            Process::Options options = {}) const;
  // `warden-sim ctl --dir DIR COMMAND...`; its stdout, nothing when it failed.
  [[nodiscard]] std::optional<std::string> simulator(std::vector<std::string> command) const;

  // In a directory of its own, which is all that a container needs of the host.
  [[nodiscard]] std::string socket_path() const { return directory_.path() + "/run/warden.sock"; }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_.path(); }
  [[nodiscard]] Process& daemon() noexcept { return *daemon_; }
  [[nodiscard]] Process& simulator_process() noexcept { return *simulator_; }

 private:
  TemporaryDirectory directory_;
  std::optional<Process> simulator_;
  std::optional<Process> daemon_;
  std::string why_;
};

}  // namespace warden::test
