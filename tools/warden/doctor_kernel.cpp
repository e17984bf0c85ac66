// SPDX-License-Identifier: Apache-2.0
// The checks of `warden doctor` that look at the kernel, at the rights of who asks, and at wardend.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "tools/warden/doctor.h"
#include "tools/warden/duration.h"
#include "tools/warden/json_fields.h"

namespace warden::cli::doctor {
namespace {

using pci::Sysfs;

// What wardend gives one session at most, unless told otherwise.
constexpr std::uint64_t kWantedBytes = std::uint64_t{1} << 30;
// The kernel's own default.
constexpr unsigned long kUsualEntries = 65'535;

std::string module_parameter(const Host& host, const char* name) {
  return Sysfs::read_or_empty(host.sysfs.sys() + "/module/vfio_iommu_type1/parameters/" + name);
}

// What the processor's maker calls it, and how the kernel is told.
std::string iommu_cure(const Host& host) {
  const bool amd = Sysfs::read_or_empty(host.sysfs.proc() + "/cpuinfo").find("AuthenticAMD") != std::string::npos;
  const std::string line = Sysfs::read_or_empty(host.sysfs.proc() + "/cmdline");
  const std::string parameter = amd ? "amd_iommu=on" : "intel_iommu=on";
  const std::string bios = amd ? "AMD-Vi (IOMMU)" : "VT-d";
  for (const char* off : {"intel_iommu=off", "amd_iommu=off", "iommu=off"}) {
    if (line.find(off) != std::string::npos) return fmt::format("boot without '{}'", off);
  }
  if (line.find(parameter) != std::string::npos) return fmt::format("enable {} in the BIOS and boot again", bios);
  return fmt::format("enable {} in the BIOS; add {} to GRUB_CMDLINE_LINUX in /etc/default/grub, update-grub, reboot",
                     bios, parameter);
}

}  // namespace

Finding iommu(const Host& host) {
  const std::vector<std::string> units = Sysfs::names_in(host.sysfs.sys() + "/class/iommu");
  const std::size_t groups = Sysfs::names_in(host.sysfs.sys() + "/kernel/iommu_groups").size();
  if (!units.empty() && groups > 0) {
    return {Verdict::kGood, fmt::format("{}, {} groups", fmt::join(units, ", "), groups), ""};
  }
  return {Verdict::kMissing, units.empty() ? "it is off" : "it is there, but nothing is behind it", iommu_cure(host)};
}

Finding vfio_pci(const Host& host) {
  if (Sysfs::exists(host.sysfs.driver_path(pci::kVfioDriver))) return {Verdict::kGood, "loaded", ""};
  return {Verdict::kMissing, "not loaded",
          "modprobe vfio-pci (for good: echo vfio-pci >/etc/modules-load.d/vfio-pci.conf)"};
}

Finding vfio_node(const Host& host) {
  if (Sysfs::exists(host.sysfs.dev() + "/vfio/vfio")) return {Verdict::kGood, host.sysfs.dev() + "/vfio/vfio", ""};
  if (Sysfs::exists(host.sysfs.dev() + "/iommu")) return {Verdict::kGood, host.sysfs.dev() + "/iommu", ""};
  return {Verdict::kMissing, fmt::format("neither {0}/vfio/vfio nor {0}/iommu is there", host.sysfs.dev()),
          "modprobe vfio_iommu_type1; a container needs --device /dev/vfio/vfio"};
}

Finding locked_memory(const Host& host) {
  if (host.may_lock_memory) return {Verdict::kGood, "no limit for this user", ""};
  if (host.lockable_bytes >= kWantedBytes) {
    return {Verdict::kGood, format_bytes(host.lockable_bytes) + " may be locked", ""};
  }
  return {Verdict::kAdvice,
          fmt::format("only {} may be locked by this user, {} is what one session may ask for",
                      format_bytes(host.lockable_bytes), format_bytes(kWantedBytes)),
          "LimitMEMLOCK=infinity in wardend's unit (now: ulimit -l unlimited)"};
}

Finding dma_entries(const Host& host) {
  const std::string text = module_parameter(host, "dma_entry_limit");
  if (text.empty()) return {Verdict::kUnknown, "vfio_iommu_type1 is not loaded", ""};
  const unsigned long entries = std::strtoul(text.c_str(), nullptr, 10);
  if (entries >= kUsualEntries) return {Verdict::kGood, text + " for each process", ""};
  return {Verdict::kAdvice, fmt::format("only {} pieces of memory may be mapped", text),
          fmt::format("echo {} >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", kUsualEntries)};
}

Finding interrupts(const Host& host) {
  const std::string text = module_parameter(host, "allow_unsafe_interrupts");
  if (text.empty()) return {Verdict::kUnknown, "vfio_iommu_type1 is not loaded", ""};
  if (text != "Y") return {Verdict::kGood, "only remapped ones are allowed", ""};
  return {Verdict::kAdvice, "unsafe ones are allowed",
          "enable interrupt remapping (x2APIC) in the BIOS; "
          "echo N >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"};
}

Finding btf(const Host& host) {
  if (Sysfs::exists(host.sysfs.sys() + "/kernel/btf/vmlinux")) return {Verdict::kGood, "the kernel has it", ""};
  return {Verdict::kAdvice, "the kernel was built without", "a kernel with CONFIG_DEBUG_INFO_BTF (all of Debian's)"};
}

Finding bpf(const Host& host) {
  const std::string lockdown = Sysfs::read_or_empty(host.sysfs.sys() + "/kernel/security/lockdown");
  if (lockdown.find("[confidentiality]") != std::string::npos) {
    return {Verdict::kAdvice, "kernel lockdown forbids programs to read the kernel's memory",
            "boot with lockdown=integrity"};
  }
  if (host.may_load_bpf) return {Verdict::kGood, "may be loaded by this user", ""};
  return {Verdict::kAdvice, "may not be loaded by this user",
          "run wardend as root, or with AmbientCapabilities=CAP_BPF CAP_PERFMON in its unit"};
}

Finding real_time(const Host& host) {
  if (host.may_be_realtime) return {Verdict::kGood, "allowed to this user", ""};
  return {Verdict::kAdvice, "not allowed to this user",
          "LimitRTPRIO=1 or AmbientCapabilities=CAP_SYS_NICE in wardend's unit"};
}

Finding wardend(const Host& host) {
  if (!host.wardend_status) {
    return {Verdict::kAdvice, "does not run: " + printable(host.wardend_status.error().message),
            "systemctl start wardend"};
  }
  const std::string version = text(Json::parse(*host.wardend_status, nullptr, false), "version");
  if (version == host.own_version) return {Verdict::kGood, version + " runs", ""};
  return {Verdict::kAdvice, fmt::format("{} runs, and this is {}", version, host.own_version),
          "systemctl restart wardend, after installing one version of both"};
}

}  // namespace warden::cli::doctor
