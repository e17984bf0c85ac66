// SPDX-License-Identifier: Apache-2.0
// See binding.h: what is checked before, and what is done with all functions of a call.
#include "driver/pci/binding.h"

#include <fmt/format.h>

#include <utility>

#include "driver/pci/binding_checks.h"
#include "driver/pci/binding_record.h"
#include "driver/pci/mover.h"

namespace warden::pci {
namespace {

BindingChange change_of(const Sysfs& sysfs, const Function& before, const std::string& expected, bool dry_run) {
  const auto now = read_function(sysfs, before.address);
  const bool known = now && !dry_run;
  BindingChange change{.address = before.address,
                       .what = before.what(),
                       .iommu_group = before.iommu_group,
                       .from = before.driver,
                       .to = known ? now->driver : expected,
                       .node = {}};
  if (known && now->driver == kVfioDriver) {
    change.node = now->device_node.empty() ? now->group_node : now->device_node;
  }
  return change;
}

Result<BindingRecords> records_of(const Sysfs& sysfs, const std::vector<Function>& functions, bool dry_run) {
  if (dry_run) return BindingRecords::look(sysfs);
  std::vector<Address> addresses;
  for (const Function& function : functions) addresses.push_back(function.address);
  return BindingRecords::open(sysfs, addresses);
}

Status check_ready(const Sysfs& sysfs, const Function& function, const std::vector<Function>& moved) {
  if (auto good = check_iommu(sysfs, function); !good) return good;
  if (auto good = check_vfio_pci(sysfs); !good) return good;
  if (auto good = check_group(sysfs, function, moved); !good) return good;
  if (auto good = check_rights(sysfs, function, "bind"); !good) return good;
  std::vector<Function> changing = moved;
  std::erase_if(changing, [](const Function& one) { return one.driver == kVfioDriver; });
  return check_unused(sysfs, changing);
}

// As they are since nobody else can change them any more.
Status look_again(const Sysfs& sysfs, std::vector<Function>& functions) {
  for (Function& function : functions) {
    auto now = read_function(sysfs, function.address);
    if (!now) return std::unexpected(std::move(now).error());
    function = std::move(*now);
  }
  return {};
}

// Those bound before the one that could not be: as they were. Their own errors would hide the first.
void undo(const Sysfs& sysfs, Mover& mover, const std::vector<Function>& moved, std::size_t count) {
  for (std::size_t index = count; index-- > 0;) {
    if (moved[index].driver == kVfioDriver) continue;
    if (const auto now = read_function(sysfs, moved[index].address)) (void)mover.give_back(*now);
  }
}

// Which of them unbind() has to do with: a record alone is a call that was killed.
Result<std::vector<Function>> bound_among(const Mover& mover, const std::vector<Function>& functions) {
  std::vector<Function> bound;
  for (const Function& function : functions) {
    const auto former = mover.former(function);
    if (!former) return std::unexpected(former.error());
    if (*former || function.driver == kVfioDriver) bound.push_back(function);
  }
  if (!bound.empty()) return bound;
  const Function& first = functions.front();
  return fail(Code::kInvalidArgument,
              fmt::format("{} is not bound to vfio-pci, but to {}: nothing to undo", first.address.text(),
                          first.driver.empty() ? "no driver" : first.driver));
}

Result<BindingReport> take_all(const Sysfs& sysfs, Mover& mover, const std::vector<Function>& moved, bool dry_run) {
  for (std::size_t index = 0; index < moved.size(); ++index) {
    const auto taken = mover.take(moved[index]);
    if (taken) continue;
    // One that is still being let go can't be given back: the same call again goes on with it.
    undo(sysfs, mover, moved, taken.error().code == Code::kTimeout ? index : index + 1);
    return std::unexpected(taken.error());
  }
  BindingReport report;
  for (const Function& one : moved) {
    report.changes.push_back(change_of(sysfs, one, std::string(kVfioDriver), dry_run));
  }
  return report;
}

Result<BindingReport> give_all_back(const Sysfs& sysfs, Mover& mover, const std::vector<Function>& bound,
                                    bool dry_run) {
  BindingReport report;
  for (const Function& one : bound) {
    const auto former = mover.former(one);
    if (!former) return std::unexpected(former.error());
    if (auto given = mover.give_back(one); !given) return std::unexpected(std::move(given).error());
    report.changes.push_back(change_of(sysfs, one, *former ? (*former)->driver : "", dry_run));
  }
  return report;
}

}  // namespace

Result<BindingReport> bind(const Sysfs& sysfs, const Address& address, const BindingOptions& options) {
  const auto function = bindable_function(sysfs, address, options);
  if (!function) return std::unexpected(function.error());
  auto moved = functions_to_move(sysfs, *function, options);
  if (!moved) return std::unexpected(moved.error());
  if (auto ready = check_ready(sysfs, *function, *moved); !ready) return std::unexpected(std::move(ready).error());
  auto records = records_of(sysfs, *moved, options.dry_run);
  if (!records) return std::unexpected(std::move(records).error());
  if (auto seen = look_again(sysfs, *moved); !seen) return std::unexpected(std::move(seen).error());
  Mover mover(sysfs, std::move(*records), options);
  auto report = take_all(sysfs, mover, *moved, options.dry_run);
  if (report) report->steps = std::move(mover).steps();
  return report;
}

Result<BindingReport> unbind(const Sysfs& sysfs, const Address& address, const BindingOptions& options) {
  // Whatever was bound may be given back, whoever made it.
  BindingOptions any = options;
  any.any_device = true;
  const auto function = bindable_function(sysfs, address, any);
  if (!function) return std::unexpected(function.error());
  auto moved = functions_to_move(sysfs, *function, any);
  if (!moved) return std::unexpected(moved.error());
  if (auto rights = check_rights(sysfs, *function, "unbind"); !rights) return std::unexpected(rights.error());
  auto records = records_of(sysfs, *moved, options.dry_run);
  if (!records) return std::unexpected(std::move(records).error());
  if (auto seen = look_again(sysfs, *moved); !seen) return std::unexpected(std::move(seen).error());
  Mover mover(sysfs, std::move(*records), options);
  const auto bound = bound_among(mover, *moved);
  if (!bound) return std::unexpected(bound.error());
  std::vector<Function> changing = *bound;
  std::erase_if(changing, [](const Function& one) { return one.driver != kVfioDriver; });
  if (auto unused = check_unused(sysfs, changing); !unused) return std::unexpected(std::move(unused).error());
  auto report = give_all_back(sysfs, mover, *bound, options.dry_run);
  if (report) report->steps = std::move(mover).steps();
  return report;
}

}  // namespace warden::pci
