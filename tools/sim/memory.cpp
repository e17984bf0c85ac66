// SPDX-License-Identifier: Apache-2.0
// Sparse memory: a hash map of pages.
#include "tools/sim/memory.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace warden::sim {

void SparseMemory::read(std::uint64_t address, std::span<std::byte> into) const {
  assert(contains(address, into.size()));
  while (!into.empty()) {
    const std::size_t offset = address % kPageBytes;
    const std::size_t size = std::min(into.size(), kPageBytes - offset);
    if (const auto page = pages_.find(address / kPageBytes); page != pages_.end()) {
      std::memcpy(into.data(), page->second->data() + offset, size);
    } else {
      std::memset(into.data(), 0, size);
    }
    address += size;
    into = into.subspan(size);
  }
}

void SparseMemory::write(std::uint64_t address, std::span<const std::byte> from) {
  assert(contains(address, from.size()));
  while (!from.empty()) {
    const std::size_t offset = address % kPageBytes;
    const std::size_t size = std::min(from.size(), kPageBytes - offset);
    std::unique_ptr<Page>& page = pages_[address / kPageBytes];
    if (!page) page = std::make_unique<Page>();  // zeros
    std::memcpy(page->data() + offset, from.data(), size);
    address += size;
    from = from.subspan(size);
  }
}

void SparseMemory::write32(std::uint64_t address, std::uint32_t value) {
  write(address, std::as_bytes(std::span(&value, 1)));
}

void SparseMemory::add_to(Digest& digest, std::uint64_t place) const {
  for (const auto& [index, page] : pages_) digest.add(place + index * kPageBytes, *page);
}

}  // namespace warden::sim
