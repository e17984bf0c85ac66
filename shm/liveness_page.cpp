// SPDX-License-Identifier: Apache-2.0
// See liveness_page.h.
#include "shm/liveness_page.h"

#include <atomic>
#include <boost/interprocess/exceptions.hpp>
#include <string>

#include "shm/memory.h"

namespace warden::shm {

namespace ipc = boost::interprocess;

namespace {

// What Boost wants to map, without owning it.
struct Borrowed {
  int fd;
  [[nodiscard]] ipc::mapping_handle_t get_mapping_handle() const noexcept {
    return ipc::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

}  // namespace

Result<LivenessPage> LivenessPage::map(int fd, std::uint32_t slots) {
  if (slots == 0) return fail(Code::kInvalidArgument, "a liveness page without slots");
  try {
    // The size is said, because a BPF map has none that fstat(2) would know.
    ipc::mapped_region region(Borrowed{fd}, ipc::read_only, 0, slots * sizeof(std::uint64_t));
    return LivenessPage(std::move(region), slots);
  } catch (const ipc::interprocess_exception& error) {
    return fail_errno("map the liveness page", error.get_native_error());
  }
}

bool LivenessPage::is_dead(std::uint32_t slot, std::uint64_t id) const noexcept {
  if (slot >= slots_) return false;
  const auto* words = static_cast<const std::atomic<std::uint64_t>*>(region_.get_address());
  // Relaxed: the program writes nothing before it that a reader would want to see; the word says it all.
  return words[slot].load(std::memory_order_relaxed) == id;
}

}  // namespace warden::shm
