// SPDX-License-Identifier: Apache-2.0
// Pages are taken away by putting inaccessible ones in their place: one step of the kernel, whoever accesses meanwhile.
#include "driver/vfio/mapping.h"

#include <sys/mman.h>

namespace warden::vfio {

MappedPages::~MappedPages() { ::munmap(base_, size_bytes_); }

void MappedPages::revoke() noexcept {
  // First the word: who faults is to find the reason.
  stale_.store(true, std::memory_order_release);  // sync: revoked
  // Other pages, and not mprotect() alone: a mapping of the kernel's VFIO would keep the device open.
  void* put = ::mmap(base_, size_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (put == MAP_FAILED) ::mprotect(base_, size_bytes_, PROT_NONE);
}

Mapping MappingList::add(void* base, std::size_t size_bytes) {
  auto pages = std::make_shared<MappedPages>(base, size_bytes);
  const std::scoped_lock lock(mutex_);
  std::erase_if(pages_, [](const auto& old) { return old.expired(); });
  pages_.push_back(pages);
  return Mapping(std::move(pages));
}

void MappingList::revoke_all() noexcept {
  const std::scoped_lock lock(mutex_);
  for (const auto& each : pages_) {
    if (const auto pages = each.lock()) pages->revoke();
  }
  pages_.clear();
}

}  // namespace warden::vfio
