// SPDX-License-Identifier: Apache-2.0
// The virtual machine: a kernel of the cache under software emulation, with an IOMMU, simulated cards and devices of
// QEMU's own, each behind a root port so that it can be reset and pulled out by itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tests/support/process.h"

namespace warden::vm {

struct MachineOptions {
  std::string kernel = "7";  // of the cache: 6.1, 7 or cdev
  std::string board = "mesh:1x2";
  bool bind = true;  // the cards to vfio-pci
  bool iommu = true;
  std::vector<std::string> environment;  // NAME=VALUE for the command
  std::vector<std::string> command;      // empty: a shell
};

// Dies with its object, simulator and all. Owner: the thread that started it.
class Machine {
 public:
  // Fetches what the cache lacks, which can take a minute.
  [[nodiscard]] Status start(const MachineOptions& options);

  [[nodiscard]] int console() const noexcept { return console_.get(); }
  // For HostRequests; once each.
  [[nodiscard]] UniqueFd take_request_line() noexcept { return std::move(request_line_); }
  [[nodiscard]] UniqueFd take_monitor() noexcept { return std::move(monitor_); }
  [[nodiscard]] std::string simulator_directory() const { return directory_.path() + "/cards"; }
  // The end of what QEMU and the simulator had to say, for the message about a machine that failed.
  [[nodiscard]] std::string last_words() const;

 private:
  struct Card {
    std::string variable;  // that tells the guest's programs its address
    unsigned port = 0;
    unsigned function = 0;
    std::string device;  // QEMU's option
  };

  [[nodiscard]] Result<std::vector<Card>> start_simulator(const std::string& board);
  [[nodiscard]] Status write_plan(const MachineOptions& options, const std::vector<Card>& cards) const;
  [[nodiscard]] std::vector<std::string> command_line(const std::string& cache, const MachineOptions& options,
                                                      const std::vector<Card>& cards) const;

  test::TemporaryDirectory directory_;
  UniqueFd console_;
  UniqueFd request_line_;
  UniqueFd monitor_;
  UniqueFd far_ends_[3];
  std::optional<test::Process> simulator_;
  std::optional<test::Process> qemu_;
};

}  // namespace warden::vm
