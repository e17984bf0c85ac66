// SPDX-License-Identifier: Apache-2.0
// The checks of `warden doctor` that look at the host's cards and at what stands between them and VFIO.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <ranges>

#include "tools/warden/doctor.h"

namespace warden::cli::doctor {
namespace {

using pci::Function;
using pci::Sysfs;

// Subsystem ids of the cards of a Galaxy, Wormhole's and Blackhole's, as in tt-kmd.
constexpr std::uint16_t kGalaxyWormhole = 0x0035;
constexpr std::uint16_t kGalaxyBlackhole = 0x0047;

Finding nothing_yet(const char* what) { return {Verdict::kUnknown, what, ""}; }

bool is_bound(const Function& card) { return card.driver == pci::kVfioDriver; }

std::vector<Function> bound_of(const Host& host) {
  std::vector<Function> bound = host.cards;
  std::erase_if(bound, [](const Function& card) { return !is_bound(card); });
  return bound;
}

std::string addresses_of(const std::vector<Function>& functions) {
  std::vector<std::string> addresses;
  for (const Function& function : functions) addresses.push_back(function.address.text());
  return fmt::format("{}", fmt::join(addresses, ", "));
}

std::string described(const Function& card) {
  std::string words = fmt::format("{} {}", card.address.text(), card.what());
  if (card.iommu_group) words += fmt::format(", group {}", *card.iommu_group);
  if (card.numa_node) words += fmt::format(", NUMA node {}", *card.numa_node);
  return words;
}

std::string words_of(const pci::Link& link) {
  if (link.speed_gt_s <= 0 || link.lanes == 0) return "no link";
  return fmt::format("{} GT/s x{}", link.speed_gt_s, link.lanes);
}

// The port above a card; empty when it sits at the root.
std::string port_above(const Host& host, const Function& card) {
  std::error_code error;
  const auto path = std::filesystem::canonical(host.sysfs.function_path(card.address), error);
  const std::string parent = path.parent_path().filename();
  return pci::Address::parse(parent) ? parent : "";
}

// The hot-plug service of a port, "0000:00:01.0:pcie004"; empty: none.
std::string hot_plug_service(const Host& host, const std::string& port) {
  if (port.empty()) return "";
  for (const std::string& name : Sysfs::names_in(host.sysfs.sys() + "/bus/pci_express/drivers/pciehp")) {
    if (name.starts_with(port + ":")) return name;
  }
  return "";
}

bool is_of_galaxy(const Function& card) {
  return card.subsystem_device == kGalaxyWormhole || card.subsystem_device == kGalaxyBlackhole;
}

}  // namespace

Finding cards(const Host& host) {
  if (host.cards.empty()) {
    return {Verdict::kMissing, "the kernel sees no Tenstorrent card",
            "lspci -d 1e52: must list it: check seat and power; echo 1 >/sys/bus/pci/rescan looks again"};
  }
  std::vector<std::string> words;
  for (const Function& card : host.cards) words.push_back(described(card));
  return {Verdict::kGood, fmt::format("{}", fmt::join(words, "; ")), ""};
}

Finding links(const Host& host) {
  if (host.cards.empty()) return nothing_yet("no card");
  for (const Function& card : host.cards) {
    const bool slower = card.link.speed_gt_s < card.best_link.speed_gt_s || card.link.lanes < card.best_link.lanes;
    if (!slower) continue;
    return {
        Verdict::kAdvice,
        fmt::format("{} runs at {}, and can {}", card.address.text(), words_of(card.link), words_of(card.best_link)),
        fmt::format("another slot, or seat it anew; lspci -vv -s {} shows LnkCap and LnkSta", card.address.text())};
  }
  return {Verdict::kGood, "as fast as the cards can: " + words_of(host.cards.front().link), ""};
}

Finding binding(const Host& host) {
  if (host.cards.empty()) return nothing_yet("no card");
  std::vector<Function> others = host.cards;
  std::erase_if(others, is_bound);
  if (others.empty()) return {Verdict::kGood, "vfio-pci has " + addresses_of(host.cards), ""};
  const Function& first = others.front();
  const std::string whose = first.driver.empty() ? "no driver" : first.driver;
  return {others.size() == host.cards.size() ? Verdict::kMissing : Verdict::kAdvice,
          fmt::format("{} belongs to {}, not to vfio-pci", addresses_of(others), whose),
          fmt::format("warden bind {}", first.address.text())};
}

Finding groups(const Host& host) {
  const std::vector<Function> bound = bound_of(host);
  if (bound.empty()) return nothing_yet("no card belongs to vfio-pci yet");
  std::string shared;
  for (const Function& card : bound) {
    if (!card.iommu_group) {
      return {Verdict::kMissing, card.address.text() + " is in no IOMMU group", "see IOMMU"};
    }
    for (const Function& member : pci::functions_in_group(host.sysfs, *card.iommu_group)) {
      if (!pci::is_viable_in_group(member)) {
        return {Verdict::kMissing,
                fmt::format("{} shares group {} with {}, which belongs to {}", card.address.text(), *card.iommu_group,
                            member.address.text(), member.driver),
                fmt::format("warden bind --group {} takes both, another slot may set it apart", card.address.text())};
      }
      if (member.address == card.address || member.is_bridge()) continue;
      shared = fmt::format("{} shares group {} with {}", card.address.text(), *card.iommu_group, member.address.text());
    }
  }
  if (shared.empty()) return {Verdict::kGood, "each card is alone in its own", ""};
  return {Verdict::kAdvice, shared + ": one process has both, and a hot reset takes both",
          "a slot of another root port, or one with ACS"};
}

Finding device_nodes(const Host& host) {
  const std::vector<Function> bound = bound_of(host);
  if (bound.empty()) return nothing_yet("no card belongs to vfio-pci yet");
  for (const Function& card : bound) {
    const std::string node = card.device_node.empty() ? card.group_node : card.device_node;
    if (node.empty()) {
      return {Verdict::kMissing,
              fmt::format("there is no node in {}/vfio for {}", host.sysfs.dev(), card.address.text()),
              "udevadm trigger; a container needs its own --device /dev/vfio/GROUP"};
    }
    if (::faccessat(AT_FDCWD, node.c_str(), R_OK | W_OK, AT_EACCESS) != 0) {
      return {Verdict::kMissing, node + " may not be opened by this user",
              fmt::format("run wardend as root, or let udev give it away: SUBSYSTEM==\"vfio\", GROUP=\"warden\", "
                          "MODE=\"0660\" (now: chgrp warden {0} && chmod 660 {0})",
                          node)};
    }
  }
  return {Verdict::kGood, "may be opened by this user", ""};
}

Finding resets(const Host& host) {
  if (host.cards.empty()) return nothing_yet("no card");
  for (const Function& card : host.cards) {
    if (!card.reset_methods.empty()) continue;
    return {Verdict::kAdvice, fmt::format("the kernel knows no way to reset {}", card.address.text()),
            fmt::format("cat /sys/bus/pci/devices/{}/reset_method; alone behind a root port it would have 'bus'",
                        card.address.text())};
  }
  return {Verdict::kGood, fmt::format("by {}", fmt::join(host.cards.front().reset_methods, ", ")), ""};
}

Finding hot_plug(const Host& host) {
  if (host.cards.empty()) return nothing_yet("no card");
  for (const Function& card : host.cards) {
    const std::string service = hot_plug_service(host, port_above(host, card));
    if (service.empty()) continue;
    return {is_of_galaxy(card) ? Verdict::kMissing : Verdict::kAdvice,
            fmt::format("{}{} is in a hot-plug slot, whose driver may remove it during a reset", card.address.text(),
                        is_of_galaxy(card) ? " of a Galaxy" : ""),
            fmt::format("echo {} >/sys/bus/pci_express/drivers/pciehp/unbind", service)};
  }
  return {Verdict::kGood, "no card is in a hot-plug slot", ""};
}

}  // namespace warden::cli::doctor
