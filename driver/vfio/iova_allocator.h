// SPDX-License-Identifier: Apache-2.0
// Which IOVAs of one card are taken: ranges handed out, given back, or claimed as they were found.
#pragma once

#include <cstdint>
#include <map>

#include <warden/result.h>

#include "driver/vfio/device.h"

namespace warden::vfio {

// Knows numbers only: mapping is the caller's. Threads: one at a time.
class IovaAllocator {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;

  // Both page-aligned.
  IovaAllocator(Iova first, std::uint64_t size_bytes) noexcept;

  // A free range of whole pages; kBusy when there is none that long, kInvalidArgument for no whole number of pages.
  // Goes on behind the range handed out last, so that one given back is not used again soon: a card that still writes
  // to it meets nothing.
  [[nodiscard]] Result<Iova> allocate(std::uint64_t size_bytes);
  // Takes exactly this range; kBusy when a part of it is taken, kInvalidArgument when it is not inside.
  [[nodiscard]] Status claim(Iova iova, std::uint64_t size_bytes);
  // A range that was handed out or claimed, by its beginning. Another one: nothing to do.
  void free(Iova iova) noexcept;

  [[nodiscard]] std::uint64_t taken_bytes() const noexcept { return taken_bytes_; }

 private:
  [[nodiscard]] bool is_free(std::uint64_t begin, std::uint64_t size_bytes) const;
  [[nodiscard]] std::uint64_t first_gap(std::uint64_t begin, std::uint64_t end, std::uint64_t size_bytes) const;
  void take(std::uint64_t begin, std::uint64_t size_bytes);

  const std::uint64_t begin_;
  const std::uint64_t end_;
  std::uint64_t next_;                            // where to look first
  std::map<std::uint64_t, std::uint64_t> taken_;  // size by beginning; no two overlap
  std::uint64_t taken_bytes_ = 0;
};

}  // namespace warden::vfio
