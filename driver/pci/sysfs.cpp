// SPDX-License-Identifier: Apache-2.0
// See sysfs.h.
#include "driver/pci/sysfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include <warden/unique_fd.h>

namespace warden::pci {

Sysfs Sysfs::below(const std::string& root) {
  Sysfs sysfs;
  for (std::string* path : {&sysfs.sys_, &sysfs.dev_, &sysfs.proc_, &sysfs.run_}) path->insert(0, root);
  return sysfs;
}

std::string Sysfs::function_path(const Address& address) const { return sys_ + "/bus/pci/devices/" + address.text(); }

std::string Sysfs::driver_path(std::string_view driver) const {
  return sys_ + "/bus/pci/drivers/" + std::string(driver);
}

bool Sysfs::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::string> Sysfs::read(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno("open " + path);
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count < 0) return fail_errno("read " + path);
    if (count == 0) break;
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string Sysfs::read_or_empty(const std::string& path) { return read(path).value_or(""); }

Status Sysfs::write(const std::string& path, std::string_view text) {
  // Attributes ignore O_TRUNC; the plain files of a copied tree need it.
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!file) return fail_errno("open " + path);
  const std::string line = std::string(text) + '\n';
  if (::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return fail_errno("write '" + std::string(text) + "' to " + path);
  }
  return {};
}

std::string Sysfs::link_name(const std::string& path) {
  std::error_code error;
  return std::filesystem::read_symlink(path, error).filename().string();
}

std::vector<std::string> Sysfs::names_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace warden::pci
