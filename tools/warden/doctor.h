// SPDX-License-Identifier: Apache-2.0
// What a host needs so that wardend can drive its cards: a table of checks over a host that was looked at before, so
// that a test can make one up.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/pci/function.h"

namespace warden::cli {

// What the checks look at: files below the roots, and what only the running system can tell. The rights are those of
// whoever asks, and so of wardend if it runs as the same user.
struct Host {
  pci::Sysfs sysfs;
  std::vector<pci::Function> cards;  // Tenstorrent's
  bool may_lock_memory = false;      // CAP_IPC_LOCK: no limit counts
  std::uint64_t lockable_bytes = 0;  // RLIMIT_MEMLOCK, soft
  bool may_load_bpf = false;         // CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN
  bool may_be_realtime = false;      // CAP_SYS_NICE, or RLIMIT_RTPRIO above 0
  std::string own_version;
  Result<std::string> wardend_status;  // its status as JSON, or why there is none
};

// Looks at this process and at the files below `root` ("" for this host's).
[[nodiscard]] Host look_at_host(const std::string& root, Result<std::string> wardend_status);

enum class Verdict {
  kGood,
  kAdvice,   // the main job runs, but not as well as it could
  kMissing,  // it does not run
  kUnknown,  // nothing to look at yet
};

struct Finding {
  Verdict verdict = Verdict::kGood;
  std::string what;  // is the case
  std::string cure;  // a command, or what else to do; empty when good
};

struct Check {
  const char* name;
  const char* why;  // it matters
  Finding (*look)(const Host& host);
};

// In the order in which a host is set up.
[[nodiscard]] std::span<const Check> checks();

// The checks themselves, in files by what they look at.
namespace doctor {
Finding iommu(const Host& host);
Finding vfio_pci(const Host& host);
Finding vfio_node(const Host& host);
Finding cards(const Host& host);
Finding links(const Host& host);
Finding binding(const Host& host);
Finding groups(const Host& host);
Finding device_nodes(const Host& host);
Finding resets(const Host& host);
Finding hot_plug(const Host& host);
Finding locked_memory(const Host& host);
Finding dma_entries(const Host& host);
Finding interrupts(const Host& host);
Finding btf(const Host& host);
Finding bpf(const Host& host);
Finding real_time(const Host& host);
Finding wardend(const Host& host);
}  // namespace doctor

}  // namespace warden::cli
