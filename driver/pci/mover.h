// SPDX-License-Identifier: Apache-2.0
// Moves one function to vfio-pci or back. Every step looks at how things are, not at what was done before, so that a
// step done twice is done once. The record is written before the first change and removed after the last:
//
//   take:      record ► driver_override := vfio-pci ► let the driver go ► probe
//   give back: driver_override := as it was ► let vfio-pci go ► bind the former driver ► no record
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driver/pci/binding.h"
#include "driver/pci/binding_record.h"

namespace warden::pci {

class Mover {
 public:
  Mover(const Sysfs& sysfs, BindingRecords records, const BindingOptions& options)
      : sysfs_(sysfs), records_(std::move(records)), options_(options) {}

  [[nodiscard]] Status take(const Function& function);
  [[nodiscard]] Status give_back(const Function& function);
  [[nodiscard]] Result<std::optional<BindingRecord>> former(const Function& function) const {
    return records_.find(function.address);
  }
  // What was written where, as a shell's commands.
  [[nodiscard]] std::vector<std::string> steps() && { return std::move(steps_); }

 private:
  Status remember(const Function& function);
  Status write(const std::string& path, std::string_view text);
  Status set_override(const Function& function, const std::string& driver);
  Status let_go(const Function& function);
  Status probe(const Function& function);
  Status restore_driver(const Function& function, const std::string& driver);
  [[nodiscard]] std::string driver_of(const Function& function) const;
  [[nodiscard]] bool has_driver(const Function& function, const std::string& driver) const;

  const Sysfs& sysfs_;
  BindingRecords records_;
  const BindingOptions& options_;
  std::vector<std::string> steps_;
};

}  // namespace warden::pci
