// SPDX-License-Identifier: Apache-2.0
// Waiting on a 32-bit word that several processes share, with a bound, always.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace warden::shm {

// Every waiter and every wake; plain FUTEX_WAIT and FUTEX_WAKE mean the same.
inline constexpr std::uint32_t kAllWakes = ~std::uint32_t{0};

// Returns when the word is woken with one of `wakes`, no longer holds `seen`, a signal came, or `bound` has passed; the
// caller looks again. Works on read-only shared mappings.
[[gnu::hot]] void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen, std::chrono::nanoseconds bound,
                             std::uint32_t wakes = kAllWakes) noexcept;

// Wakes everybody who waits on the word, in all processes, for one of `wakes`.
[[gnu::hot]] void futex_wake_all(const std::atomic<std::uint32_t>& word, std::uint32_t wakes = kAllWakes) noexcept;

}  // namespace warden::shm
