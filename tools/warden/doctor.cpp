// SPDX-License-Identifier: Apache-2.0
// See doctor.h: the table, and how a real host is looked at.
#include "tools/warden/doctor.h"

#include <sys/resource.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace warden::cli {
namespace {

// <linux/capability.h>
constexpr unsigned kIpcLock = 14;
constexpr unsigned kSysAdmin = 21;
constexpr unsigned kSysNice = 23;
constexpr unsigned kPerfmon = 38;
constexpr unsigned kBpf = 39;

constexpr std::array kChecks = {
    Check{"IOMMU", "it keeps the card's DMA inside the memory that it was given", doctor::iommu},
    Check{"vfio-pci", "the kernel's driver that hands a card to a program", doctor::vfio_pci},
    Check{"VFIO", "the node through which programs reach it", doctor::vfio_node},
    Check{"cards", "what this is all about", doctor::cards},
    Check{"links", "a card on a slow link works, slowly", doctor::links},
    Check{"binding", "only a card that belongs to vfio-pci can be opened", doctor::binding},
    Check{"groups", "VFIO gives out an IOMMU group as a whole", doctor::groups},
    Check{"device nodes", "who may open them may drive the card", doctor::device_nodes},
    Check{"resets", "a card whose firmware hangs is revived by one of the kernel's resets", doctor::resets},
    Check{"hot-plug", "a reset drops the link, and a hot-plug slot takes that for a removal", doctor::hot_plug},
    Check{"locked memory", "memory for the card's DMA must not move", doctor::locked_memory},
    Check{"DMA entries", "each piece of memory for DMA is one", doctor::dma_entries},
    Check{"interrupts", "without remapping a card could forge another one's", doctor::interrupts},
    Check{"BTF", "the exit watcher finds its way in the kernel by it", doctor::btf},
    Check{"BPF", "with it deaths are seen in microseconds, without it in milliseconds", doctor::bpf},
    Check{"real time", "the exit watcher is not kept waiting by a busy host", doctor::real_time},
    Check{"wardend", "it owns the cards; another version may not understand this one", doctor::wardend},
};

std::uint64_t capabilities() {
  const std::string status = pci::Sysfs::read_or_empty("/proc/self/status");
  constexpr std::string_view kField = "CapEff:";
  const std::size_t at = status.find(kField);
  return at == std::string::npos ? 0 : std::strtoull(status.c_str() + at + kField.size(), nullptr, 16);
}

std::uint64_t limit_of(__rlimit_resource resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : 0;
}

}  // namespace

std::span<const Check> checks() { return kChecks; }

Host look_at_host(const std::string& root, Result<std::string> wardend_status) {
  const std::uint64_t mask = capabilities();
  const auto has = [mask](unsigned capability) { return (mask >> capability & 1) != 0; };
  pci::Sysfs sysfs = pci::Sysfs::below(root);
  std::vector<pci::Function> cards = pci::functions_of(sysfs);
  return {.sysfs = std::move(sysfs),
          .cards = std::move(cards),
          .may_lock_memory = has(kIpcLock),
          .lockable_bytes = limit_of(RLIMIT_MEMLOCK),
          .may_load_bpf = has(kSysAdmin) || (has(kBpf) && has(kPerfmon)),
          .may_be_realtime = has(kSysNice) || limit_of(RLIMIT_RTPRIO) > 0,
          .own_version = WARDEN_VERSION,
          .wardend_status = std::move(wardend_status)};
}

}  // namespace warden::cli
