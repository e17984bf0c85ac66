// SPDX-License-Identifier: Apache-2.0
// What a function was like before it was given to vfio-pci, remembered in a file until it is given back. Below /run, so
// that it ends with the boot, as bindings do; not in wardend's own directory, which ends with wardend.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/pci/address.h"
#include "driver/pci/sysfs.h"

namespace warden::pci {

struct BindingRecord {
  std::string driver;           // that it had; empty: none
  std::string driver_override;  // the same
  bool operator==(const BindingRecord&) const = default;
};

// The records of a host, /run/warden-bindings/ADDRESS: root's, readable by all.
class BindingRecords {
 public:
  // Makes the directory, and keeps every other process away from these functions until it is destroyed. kBusy: another
  // one has some of them. kPermission: the directory can be written by others.
  [[nodiscard]] static Result<BindingRecords> open(const Sysfs& sysfs, const std::vector<Address>& addresses);
  // Only to look: makes nothing and keeps nobody away.
  [[nodiscard]] static BindingRecords look(const Sysfs& sysfs);

  // Nothing: the function was not given to vfio-pci by us. kProtocol: the file is not one of ours.
  [[nodiscard]] Result<std::optional<BindingRecord>> find(const Address& address) const;
  // Whole or not at all, also for a process that is killed meanwhile.
  [[nodiscard]] Status save(const Address& address, const BindingRecord& record) const;
  [[nodiscard]] Status remove(const Address& address) const;
  // A descriptor with which another process keeps them away as well, for as long as it has it open; -1: only looking.
  [[nodiscard]] int lock_of(const Address& address) const;

 private:
  explicit BindingRecords(std::string directory) : directory_(std::move(directory)) {}
  [[nodiscard]] std::string path_of(const Address& address) const { return directory_ + "/" + address.text(); }
  [[nodiscard]] Status make_directory() const;
  [[nodiscard]] Status lock(const Address& address);

  std::string directory_;
  std::map<Address, UniqueFd> locks_;  // freed with the processes that have them open, whatever their end
};

}  // namespace warden::pci
