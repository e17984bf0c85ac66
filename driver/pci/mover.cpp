// SPDX-License-Identifier: Apache-2.0
// See mover.h.
#include "driver/pci/mover.h"

#include <fmt/format.h>

#include <thread>

#include "driver/pci/patient_write.h"

namespace warden::pci {
namespace {

// The kernel binds while it is written to; drivers that probe later do it soon.
constexpr std::chrono::seconds kProbeTimeout{2};
constexpr std::chrono::milliseconds kLookEvery{5};

}  // namespace

std::string Mover::driver_of(const Function& function) const {
  return Sysfs::link_name(sysfs_.function_path(function.address) + "/driver");
}

// It is now, or becomes so in time.
bool Mover::has_driver(const Function& function, const std::string& driver) const {
  const auto deadline = std::chrono::steady_clock::now() + kProbeTimeout;
  while (driver_of(function) != driver) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(kLookEvery);
  }
  return true;
}

Status Mover::write(const std::string& path, std::string_view text) {
  steps_.push_back(fmt::format("echo '{}' >{}", text, path));
  return options_.dry_run ? Status() : Sysfs::write(path, text);
}

Status Mover::set_override(const Function& function, const std::string& driver) {
  const std::string path = sysfs_.function_path(function.address) + "/driver_override";
  const std::string now = Sysfs::read_or_empty(path);
  if (now == driver || (now == "(null)" && driver.empty())) return {};
  return write(path, driver);
}

Status Mover::let_go(const Function& function) {
  const std::string driver = driver_of(function);
  if (driver.empty()) return {};
  const std::string path = sysfs_.driver_path(driver) + "/unbind";
  steps_.push_back(fmt::format("echo '{}' >{}", function.address.text(), path));
  if (options_.dry_run) return {};
  const auto gone = write_within(path, function.address.text(), options_.timeout, records_.lock_of(function.address));
  if (!gone && gone.error().code == Code::kTimeout) {
    return fail(Code::kTimeout,
                fmt::format("{} is still held by {} after {} ms: somebody has it open (fuser -v /dev/vfio/*); end "
                            "that, then the same command again finishes",
                            function.address.text(), driver, options_.timeout.count()));
  }
  if (!gone && driver_of(function) == driver) return gone;
  if (!has_driver(function, "")) {
    return fail(Code::kFailed, fmt::format("{} did not let {} go, see dmesg", driver, function.address.text()));
  }
  return {};
}

Status Mover::probe(const Function& function) {
  return write(sysfs_.sys() + "/bus/pci/drivers_probe", function.address.text());
}

Status Mover::remember(const Function& function) {
  const auto known = former(function);
  if (!known) return std::unexpected(known.error());
  // One that a killed call left behind says how things really were.
  if (*known || options_.dry_run) return {};
  return records_.save(function.address, {.driver = function.driver, .driver_override = function.driver_override});
}

Status Mover::take(const Function& function) {
  if (function.driver == kVfioDriver) {
    // An unbind that was killed may have taken the override away already.
    const auto known = former(function);
    if (!known) return std::unexpected(known.error());
    return *known ? set_override(function, std::string(kVfioDriver)) : Status();
  }
  if (auto remembered = remember(function); !remembered) return remembered;
  if (auto set = set_override(function, std::string(kVfioDriver)); !set) return set;
  if (auto gone = let_go(function); !gone) return gone;
  if (auto probed = probe(function); !probed) return probed;
  if (options_.dry_run || has_driver(function, std::string(kVfioDriver))) return {};
  return fail(Code::kFailed, fmt::format("vfio-pci did not take {}; dmesg says why", function.address.text()));
}

// Through the driver's own file first: the kernel's choice may be another one.
Status Mover::restore_driver(const Function& function, const std::string& driver) {
  if (driver_of(function) == driver) return {};
  const std::string bind = sysfs_.driver_path(driver) + "/bind";
  if (!Sysfs::exists(bind)) {
    return fail(Code::kNotFound,
                fmt::format("{} is free, but its former driver {} is not loaded: modprobe {}, then the same command "
                            "again finishes",
                            function.address.text(), driver, driver));
  }
  const auto bound = write(bind, function.address.text());
  if (!bound) (void)probe(function);
  if (options_.dry_run || has_driver(function, driver)) return {};
  return fail(Code::kFailed, fmt::format("{} did not take {} back; dmesg says why, the same command tries again",
                                         driver, function.address.text()));
}

Status Mover::give_back(const Function& function) {
  const auto known = former(function);
  if (!known) return std::unexpected(known.error());
  const bool ours = function.driver_override == kVfioDriver;
  const std::string former_override = *known ? (*known)->driver_override : ours ? "" : function.driver_override;
  if (auto set = set_override(function, former_override); !set) return set;
  // Whoever has it now, if it is not the one who had it before.
  if (!*known || driver_of(function) != (*known)->driver) {
    if (auto gone = let_go(function); !gone) return gone;
  }
  if (!*known) return probe(function);
  if (!(*known)->driver.empty()) {
    if (auto restored = restore_driver(function, (*known)->driver); !restored) return restored;
  }
  return options_.dry_run ? Status() : records_.remove(function.address);
}

}  // namespace warden::pci
