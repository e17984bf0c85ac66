// SPDX-License-Identifier: Apache-2.0
// Which sessions' processes have begun to die, as the kernel itself has written it: one 64-bit word a slot holds the id
// of the last session that died there. Nobody clears a word, and no process can write one.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>

#include <warden/result.h>

namespace warden::shm {

// Threads: any. A dead session is also marked by wardend; this page only knows it earlier.
class LivenessPage {
 public:
  // A frozen BPF array of `slots` 64-bit values. The descriptor may be closed afterwards.
  [[nodiscard]] static Result<LivenessPage> map(int fd, std::uint32_t slots);

  // Has session `id`, whose slot this is, begun to die? False for a slot outside the page.
  [[nodiscard]] bool is_dead(std::uint32_t slot, std::uint64_t id) const noexcept;

 private:
  LivenessPage(boost::interprocess::mapped_region region, std::uint32_t slots) noexcept
      : region_(std::move(region)), slots_(slots) {}
  boost::interprocess::mapped_region region_;
  std::uint32_t slots_;
};

}  // namespace warden::shm
