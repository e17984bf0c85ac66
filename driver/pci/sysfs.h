// SPDX-License-Identifier: Apache-2.0
// What the kernel shows of the host's devices as files, below roots that a test can put elsewhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "driver/pci/address.h"

namespace warden::pci {

// Holds no descriptor and no state: copies are cheap, any thread may use one. Every path it takes or gives begins with
// one of the roots. Errors name the path.
class Sysfs {
 public:
  Sysfs() = default;
  // Of a host whose root directory is at `root`, such as "/host" in a container; "" is this one.
  [[nodiscard]] static Sysfs below(const std::string& root);

  [[nodiscard]] const std::string& sys() const noexcept { return sys_; }
  [[nodiscard]] const std::string& dev() const noexcept { return dev_; }
  [[nodiscard]] const std::string& proc() const noexcept { return proc_; }
  [[nodiscard]] const std::string& run() const noexcept { return run_; }

  // /sys/bus/pci/devices/0000:01:00.0, whether it is there or not.
  [[nodiscard]] std::string function_path(const Address& address) const;
  [[nodiscard]] std::string driver_path(std::string_view driver) const;  // /sys/bus/pci/drivers/NAME

  [[nodiscard]] static bool exists(const std::string& path);
  // An attribute's text without the newline at its end. kNotFound: there is no such file.
  [[nodiscard]] static Result<std::string> read(const std::string& path);
  // The same, empty when it can't be read: for what is only nice to know.
  [[nodiscard]] static std::string read_or_empty(const std::string& path);
  // One write(2) of the text and a newline, into a file that exists. The errno that the kernel answered with is in the
  // error's code and words.
  [[nodiscard]] static Status write(const std::string& path, std::string_view text);
  // The last name in what a symbolic link points at: of `.../driver` the driver. Empty: no such link.
  [[nodiscard]] static std::string link_name(const std::string& path);
  // Names in a directory, sorted; none when there is no such directory.
  [[nodiscard]] static std::vector<std::string> names_in(const std::string& path);

 private:
  std::string sys_ = "/sys";
  std::string dev_ = "/dev";
  std::string proc_ = "/proc";
  std::string run_ = "/run";
};

}  // namespace warden::pci
