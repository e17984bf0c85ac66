// SPDX-License-Identifier: Apache-2.0
// See use.h.
#include "driver/pci/use.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <sstream>
#include <system_error>

namespace warden::pci {
namespace {

namespace fs = std::filesystem;

// Class devices hang at most so deep below their function: nvme/nvme0/nvme0n1/nvme0n1p1.
constexpr int kMostDepth = 5;

// What the function's driver has made of it: "tenstorrent/0", "nvme0n1p1".
std::vector<std::string> node_names_of(const std::string& function) {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator entry(fs::canonical(function, error), error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (entry.depth() >= kMostDepth) entry.disable_recursion_pending();
    // Functions behind a bridge are others, and not this one's nodes.
    if (Address::parse(entry->path().filename().string())) entry.disable_recursion_pending();
    if (entry->path().filename() != "uevent") continue;
    std::istringstream lines(Sysfs::read_or_empty(entry->path()));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("DEVNAME=")) names.push_back(line.substr(line.find('=') + 1));
    }
  }
  return names;
}

// A node is the same file under any name and in any namespace.
struct FileIdentity {
  dev_t device;
  ino_t number;  // 0 for a device node, whose `device` is its own
  auto operator<=>(const FileIdentity&) const = default;
};

std::optional<FileIdentity> identity_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) return FileIdentity{status.st_rdev, 0};
  return FileIdentity{status.st_dev, status.st_ino};
}

bool is_number(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

void add_processes(const Sysfs& sysfs, const std::vector<FileIdentity>& nodes, std::vector<std::string>& users) {
  for (const std::string& pid : Sysfs::names_in(sysfs.proc())) {
    if (!is_number(pid)) continue;
    const std::string process = sysfs.proc() + "/" + pid;
    const std::vector<std::string> files = Sysfs::names_in(process + "/fd");
    const bool holds = std::ranges::any_of(files, [&](const std::string& file) {
      const auto identity = identity_of(fmt::format("{}/fd/{}", process, file));
      return identity && std::ranges::find(nodes, *identity) != nodes.end();
    });
    if (holds) users.push_back(fmt::format("pid {} ({})", pid, Sysfs::read_or_empty(process + "/comm")));
  }
}

void add_mounts(const Sysfs& sysfs, const std::vector<std::string>& nodes, std::vector<std::string>& users) {
  std::istringstream lines(Sysfs::read_or_empty(sysfs.proc() + "/self/mounts"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string node;
    std::string place;
    fields >> node >> place;
    if (std::ranges::find(nodes, node) != nodes.end()) users.push_back("the file system at " + place);
  }
}

}  // namespace

std::vector<std::string> users_of(const Sysfs& sysfs, const Function& function) {
  const std::string path = sysfs.function_path(function.address);
  std::vector<std::string> nodes = {function.group_node, function.device_node};
  std::vector<std::string> mountable;
  for (const std::string& name : node_names_of(path)) {
    nodes.push_back(sysfs.dev() + "/" + name);
    mountable.push_back("/dev/" + name);
  }
  std::vector<FileIdentity> identities;
  for (const std::string& node : nodes) {
    if (const auto identity = identity_of(node)) identities.push_back(*identity);
  }
  std::vector<std::string> users;
  if (!identities.empty()) add_processes(sysfs, identities, users);
  add_mounts(sysfs, mountable, users);
  for (const std::string& name : Sysfs::names_in(path + "/net")) {
    if (Sysfs::read_or_empty(fmt::format("{}/net/{}/operstate", path, name)) == "up") {
      users.push_back("the network interface " + name);
    }
  }
  return users;
}

}  // namespace warden::pci
