// SPDX-License-Identifier: Apache-2.0
// A warden-sim process for one test, in a directory of its own; ends with the object. Or the one that is there: in the
// virtual machine the card behind $WARDEN_TEST_DEVICE is simulated by the host, which is asked for what `ctl` does.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace warden::testing {

class Simulator {
 public:
  // Starts warden-sim with these options besides --dir and waits until it serves. Of one that runs already, heals the
  // card and takes over --reset-duration.
  explicit Simulator(const std::vector<std::string>& options = {});
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;
  ~Simulator();

  // The PCI address of the card that stands for all, empty where there is none.
  [[nodiscard]] static std::string attached_device();
  // It is a real one: nobody can be asked to break it, and ctl() throws. tests/hw/hw-test names the tests that don't.
  [[nodiscard]] static bool is_hardware();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::string device_name(int chip = 0) const;
  // `warden-sim ctl --dir DIR arguments...`; its standard output. Throws when it fails.
  std::string ctl(const std::vector<std::string>& arguments) const;
  void set_fault(const std::string& name) const { ctl({"fault", "0", name}); }
  // Counted since this object was made.
  [[nodiscard]] nlohmann::json stats(int chip = 0) const;

 private:
  void attach(const std::vector<std::string>& options);
  [[nodiscard]] nlohmann::json all_stats(int chip) const;

  bool attached_ = false;
  nlohmann::json stats_before_;  // of the attached card
  std::string directory_;
  pid_t pid_ = -1;
};

}  // namespace warden::testing
