// SPDX-License-Identifier: Apache-2.0
// Against the cold: after a long sleep every cache line is a tenth of a microsecond away.
#pragma once

#include <cstddef>

namespace warden::shm {

// Asks for all cache lines of something at once, rather than one after the other when they are needed. Reads nothing.
template <typename Something>
inline void prefetch(const Something& something, std::size_t len_bytes = sizeof(Something)) noexcept {
  constexpr std::size_t kLineBytes = 64;
  const auto* start = reinterpret_cast<const std::byte*>(&something);
  for (std::size_t done = 0; done < len_bytes; done += kLineBytes) __builtin_prefetch(start + done);
}

}  // namespace warden::shm
