// SPDX-License-Identifier: Apache-2.0
// Anonymous memory, which the kernel fills with zeros when it is touched.
#include "tools/sim/zero_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <vector>

namespace warden::sim {

ZeroMemory::ZeroMemory(std::size_t size_bytes) {
  void* base = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  ::madvise(base, size_bytes, MADV_NOHUGEPAGE);  // or the first touch would cost 2 MiB
  bytes_ = {static_cast<std::byte*>(base), size_bytes};
}

ZeroMemory::~ZeroMemory() { ::munmap(bytes_.data(), bytes_.size()); }

void ZeroMemory::clear() noexcept { ::madvise(bytes_.data(), bytes_.size(), MADV_DONTNEED); }

std::size_t ZeroMemory::touched_bytes() const {
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes_.size() + page_bytes - 1) / page_bytes);
  if (::mincore(bytes_.data(), bytes_.size(), pages.data()) != 0) return 0;
  return page_bytes *
         static_cast<std::size_t>(std::ranges::count_if(pages, [](unsigned char p) { return (p & 1) != 0; }));
}

}  // namespace warden::sim
