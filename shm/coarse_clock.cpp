// SPDX-License-Identifier: Apache-2.0
// Mapping one directory's first page over another's.
#include "shm/coarse_clock.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "shm/ledger_layout.h"

namespace warden::shm {

static_assert(sizeof(DirectoryHeader) <= kPageBytes);

Result<CoarseClock> CoarseClock::create() {
  void* page = ::mmap(nullptr, kPageBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return fail_errno("map a page for the clock");
  return CoarseClock(page);
}

CoarseClock::CoarseClock(CoarseClock&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}

CoarseClock::~CoarseClock() {
  if (page_ != nullptr) ::munmap(page_, kPageBytes);
}

// To readers the kernel exchanges the page in one step. Not through the C library: the thread sanitizer takes its
// mmap() for a write to the page, and every reader for a race with it.
Status CoarseClock::follow(int directory_fd) {
  if (::syscall(SYS_mmap, page_, kPageBytes, PROT_READ, MAP_SHARED | MAP_FIXED, directory_fd, 0) == -1) {
    return fail_errno("map the directory's clock");
  }
  return {};
}

const Word64& CoarseClock::time_ns() const noexcept {
  return static_cast<const DirectoryHeader*>(page_)->coarse_time_ns;
}

}  // namespace warden::shm
