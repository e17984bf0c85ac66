// SPDX-License-Identifier: Apache-2.0
// The DMA map: a sorted table of ranges, each a piece of a file that the client passed.
#include "tools/sim/host_memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>
#include <vector>

namespace warden::sim {

int HostMemory::map(std::uint64_t iova, std::uint64_t size_bytes, UniqueFd memory, std::uint64_t offset,
                    vfio::DmaAccess access) {
  struct stat status{};
  if (memory && (::fstat(memory.get(), &status) != 0 || !S_ISREG(status.st_mode))) return EINVAL;
  const auto after = mappings_.lower_bound(iova);
  if (after != mappings_.end() && after->first - iova < size_bytes) return EEXIST;
  if (after != mappings_.begin()) {
    const auto& [begin, before] = *std::prev(after);
    if (iova - begin < before.size_bytes) return EEXIST;
  }
  mappings_.emplace(iova, Mapping{size_bytes, std::move(memory), offset, access});
  return 0;
}

int HostMemory::unmap(std::uint64_t iova, std::uint64_t size_bytes) {
  auto first = mappings_.lower_bound(iova);
  if (first != mappings_.begin()) {
    const auto& [begin, before] = *std::prev(first);
    if (iova - begin < before.size_bytes) return EINVAL;
  }
  auto last = first;
  for (; last != mappings_.end() && last->first - iova < size_bytes; ++last) {
    if (last->second.size_bytes > size_bytes - (last->first - iova)) return EINVAL;
  }
  if (first == last) return ENOENT;
  mappings_.erase(first, last);
  return 0;
}

template <typename Transfer>
Access HostMemory::transfer(std::uint64_t iova, std::size_t length, vfio::DmaAccess wanted,
                            const Transfer& piece) const {
  std::size_t done = 0;
  while (done < length) {
    const std::uint64_t at = iova + done;
    const auto after = mappings_.upper_bound(at);
    if (after == mappings_.begin()) return Access::kUnmappedIova;
    const auto& [begin, mapping] = *std::prev(after);
    const bool allowed = (std::to_underlying(mapping.access) & std::to_underlying(wanted)) != 0;
    if (at - begin >= mapping.size_bytes || !mapping.memory || !allowed) return Access::kUnmappedIova;
    const std::size_t size = std::min<std::uint64_t>(length - done, mapping.size_bytes - (at - begin));
    const auto place = static_cast<off_t>(mapping.offset + (at - begin));
    const ssize_t moved = piece(mapping.memory.get(), done, size, place);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return Access::kUnmappedIova;
    done += static_cast<std::size_t>(moved);
  }
  return Access::kOk;
}

Access HostMemory::read(std::uint64_t iova, std::span<std::byte> into) const {
  std::vector<std::byte> copy(into.size());
  const Access access = transfer(iova, copy.size(), vfio::DmaAccess::kCardReads,
                                 [&](int memory, std::size_t done, std::size_t size, off_t place) {
                                   return ::pread(memory, copy.data() + done, size, place);
                                 });
  if (access == Access::kOk) std::ranges::copy(copy, into.begin());
  return access;
}

Access HostMemory::write(std::uint64_t iova, std::span<const std::byte> from) const {
  return transfer(iova, from.size(), vfio::DmaAccess::kCardWrites,
                  [&](int memory, std::size_t done, std::size_t size, off_t place) {
                    return ::pwrite(memory, from.data() + done, size, place);
                  });
}

}  // namespace warden::sim
