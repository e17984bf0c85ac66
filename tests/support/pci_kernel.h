// SPDX-License-Identifier: Apache-2.0
// The part of a kernel that binds drivers, behind the files of a PciTree: pipes in place of `bind`, `unbind` and
// `drivers_probe`, and a thread that reads them and moves the links. Another process may be the one that writes.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <warden/unique_fd.h>

#include "tests/support/pci_tree.h"

namespace warden::test {

class PciKernel {
 public:
  struct Behaviour {
    std::map<std::string, std::string> natural = {};  // by address: the driver that takes it when none is prescribed
    std::set<std::string> unwilling = {};             // drivers that take nothing
    std::set<std::string> holding = {};               // drivers that let nothing go: a write to `unbind` blocks
  };
  // Of all drivers that the tree has by now.
  PciKernel(PciTree& tree, Behaviour behaviour);
  PciKernel(const PciKernel&) = delete;
  PciKernel& operator=(const PciKernel&) = delete;
  ~PciKernel();

  // The driver lets go at last, what was asked for meanwhile too.
  void let_go(const std::string& driver);
  // Returns when all that was written before has been done.
  void settle();
  [[nodiscard]] std::string driver_of(const std::string& address) const;

 private:
  enum class Kind { kProbe, kBind, kUnbind };
  struct Pipe {
    Kind kind;
    std::string driver;
    UniqueFd fd;
  };
  void add_pipe(Kind kind, const std::string& driver, const std::string& path);
  void run(const std::stop_token& stop);
  void obey(const Pipe& pipe, const std::string& address);
  void attach(const std::string& address, const std::string& driver);
  void detach(const std::string& address);
  [[nodiscard]] std::string override_of(const std::string& address) const;

  PciTree& tree_;
  Behaviour behaviour_;
  std::vector<Pipe> pipes_;
  UniqueFd wake_read_;
  UniqueFd wake_write_;
  std::atomic<int> rounds_ = 0;
  std::jthread thread_;
};

}  // namespace warden::test
