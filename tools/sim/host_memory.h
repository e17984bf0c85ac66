// SPDX-License-Identifier: Apache-2.0
// The host's memory as the card reaches it: what the client mapped for DMA, and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include <warden/unique_fd.h>

#include "driver/vfio/device.h"
#include "tools/sim/access.h"

namespace warden::sim {

class HostMemory {
 public:
  // 0, or an errno: EEXIST where something is mapped already, EINVAL for a descriptor that is no file of memory.
  // Without a descriptor the range is known but out of reach.
  [[nodiscard]] int map(std::uint64_t iova, std::uint64_t size_bytes, UniqueFd memory, std::uint64_t offset,
                        vfio::DmaAccess access);
  // Takes away every mapping inside the range; ENOENT if there is none, EINVAL if one would be cut in two.
  [[nodiscard]] int unmap(std::uint64_t iova, std::uint64_t size_bytes);
  void unmap_all() noexcept { mappings_.clear(); }

  // kUnmappedIova when a byte is out of reach: `into` is then as it was, `from` perhaps partly written.
  [[nodiscard]] Access read(std::uint64_t iova, std::span<std::byte> into) const;
  [[nodiscard]] Access write(std::uint64_t iova, std::span<const std::byte> from) const;

 private:
  // Read and written by system calls, not mapped: a client that shrinks its file must not be able to kill the
  // simulator with a bus error.
  struct Mapping {
    std::uint64_t size_bytes = 0;
    UniqueFd memory;
    std::uint64_t offset = 0;
    vfio::DmaAccess access = vfio::DmaAccess::kBoth;
  };

  template <typename Transfer>
  [[nodiscard]] Access transfer(std::uint64_t iova, std::size_t length, vfio::DmaAccess wanted,
                                const Transfer& piece) const;

  std::map<std::uint64_t, Mapping> mappings_;  // by IOVA, not overlapping
};

}  // namespace warden::sim
