// SPDX-License-Identifier: Apache-2.0
// A warden-sim process for one test, in a directory of its own; ends with the object.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace warden::testing {

class Simulator {
 public:
  // Starts warden-sim with these options besides --dir and waits until it serves.
  explicit Simulator(const std::vector<std::string>& options = {});
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;
  ~Simulator();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::string device_name(int chip = 0) const;
  // `warden-sim ctl --dir DIR arguments...`; its standard output. Throws when it fails.
  std::string ctl(const std::vector<std::string>& arguments) const;
  void set_fault(const std::string& name) const { ctl({"fault", "0", name}); }
  [[nodiscard]] nlohmann::json stats(int chip = 0) const;

 private:
  std::string directory_;
  pid_t pid_ = -1;
};

}  // namespace warden::testing
