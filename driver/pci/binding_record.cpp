// SPDX-License-Identifier: Apache-2.0
// See binding_record.h. A record is three lines: what it is, the driver, the override; the two may be empty.
#include "driver/pci/binding_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

namespace warden::pci {
namespace {

constexpr std::string_view kTitle = "warden binding 1";
constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kFileMode = 0644;
constexpr mode_t kLockMode = 0600;

// Names of drivers are written into the kernel's files: nothing else may come out of here.
bool is_driver_name(std::string_view name) {
  constexpr std::size_t kMostBytes = 64;
  return name.size() <= kMostBytes && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.' || c == ' ';
         });
}

Status check_ours(const struct stat& status, const std::string& path) {
  const bool ours = (status.st_uid == 0 || status.st_uid == ::geteuid()) && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (ours) return {};
  return fail(Code::kPermission,
              fmt::format("{} can be written by others than root: look at who made it, and remove it", path));
}

std::string directory_of(const Sysfs& sysfs) { return sysfs.run() + "/warden-bindings"; }

}  // namespace

Result<BindingRecords> BindingRecords::open(const Sysfs& sysfs, const std::vector<Address>& addresses) {
  BindingRecords records(directory_of(sysfs));
  if (auto made = records.make_directory(); !made) return std::unexpected(std::move(made).error());
  for (const Address& address : addresses) {
    if (auto locked = records.lock(address); !locked) return std::unexpected(std::move(locked).error());
  }
  return records;
}

BindingRecords BindingRecords::look(const Sysfs& sysfs) { return BindingRecords(directory_of(sysfs)); }

Status BindingRecords::make_directory() const {
  if (::mkdir(directory_.c_str(), kDirectoryMode) != 0 && errno != EEXIST) return fail_errno("make " + directory_);
  struct stat status{};
  if (::lstat(directory_.c_str(), &status) != 0) return fail_errno("look at " + directory_);
  if (!S_ISDIR(status.st_mode)) return fail(Code::kProtocol, directory_ + " is not a directory; remove it");
  return check_ours(status, directory_);
}

Status BindingRecords::lock(const Address& address) {
  const std::string path = path_of(address) + ".lock";
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kLockMode));
  if (!file) return fail_errno("open " + path);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Code::kBusy,
                fmt::format("{} is being bound or unbound by another process, or its former driver still waits for "
                            "somebody to close it (fuser -v /dev/vfio/*); try again when that is over",
                            address.text()));
  }
  locks_[address] = std::move(file);
  return {};
}

int BindingRecords::lock_of(const Address& address) const {
  const auto found = locks_.find(address);
  return found == locks_.end() ? -1 : found->second.get();
}

Result<std::optional<BindingRecord>> BindingRecords::find(const Address& address) const {
  const std::string path = path_of(address);
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return fail_errno("look at " + path);
  }
  if (auto ours = check_ours(status, path); !ours) return std::unexpected(std::move(ours).error());
  const auto text = S_ISREG(status.st_mode) ? Sysfs::read(path) : fail(Code::kProtocol, path + " is not a file");
  if (!text) return std::unexpected(text.error());
  std::istringstream lines(*text);
  std::string title;
  BindingRecord record;
  std::getline(lines, title);
  std::getline(lines, record.driver);
  std::getline(lines, record.driver_override);
  if (title != kTitle || !is_driver_name(record.driver) || !is_driver_name(record.driver_override)) {
    return fail(Code::kProtocol, fmt::format("{} is no record of a binding; remove it, and the kernel chooses the "
                                             "driver at 'warden unbind {}'",
                                             path, address.text()));
  }
  return record;
}

Status BindingRecords::save(const Address& address, const BindingRecord& record) const {
  const std::string path = path_of(address);
  const std::string fresh = path + ".new";
  (void)::unlink(fresh.c_str());  // of one that was killed
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file) return fail_errno("make " + fresh);
  (void)::fchmod(file.get(), kFileMode);  // whatever the umask
  const std::string text = fmt::format("{}\n{}\n{}\n", kTitle, record.driver, record.driver_override);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno("write " + fresh);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("make " + path);
  return {};
}

Status BindingRecords::remove(const Address& address) const {
  const std::string path = path_of(address);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + path);
  return {};
}

}  // namespace warden::pci
