// SPDX-License-Identifier: Apache-2.0
// An event record as 64-bit words, so that writing and copying it at the same time is no data race: the part after
// `sequence`, which says whether the copy is whole.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shm/directory_layout.h"

namespace warden::shm {

inline constexpr std::size_t kEventBodyOffset = sizeof(Word64);
inline constexpr std::size_t kEventBodyWords = (sizeof(EventRecord) - kEventBodyOffset) / sizeof(std::uint64_t);
using EventWords = std::array<std::uint64_t, kEventBodyWords>;
static_assert(sizeof(EventWords) + kEventBodyOffset == sizeof(EventRecord));

// Each store is a release, so that a reader who sees one of the new words also sees that `sequence` was taken away.
inline void store_event_words(EventRecord& slot, const EventRecord& from) noexcept {
  EventWords words;
  std::memcpy(words.data(), reinterpret_cast<const std::byte*>(&from) + kEventBodyOffset, sizeof(words));
  auto* target = reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(&slot) + kEventBodyOffset);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::atomic_ref(target[i]).store(words[i], std::memory_order_release);  // sync: event.words
  }
}

// Each load is an acquire, so that `sequence` is looked at again after all of them.
inline void load_event_words(const EventRecord& slot, EventRecord& into) noexcept {
  EventWords words;
  const auto* source =
      reinterpret_cast<const std::uint64_t*>(reinterpret_cast<const std::byte*>(&slot) + kEventBodyOffset);
  for (std::size_t i = 0; i < words.size(); ++i) {
    // atomic_ref of const arrives with C++26; a lock-free load does not write.
    words[i] =
        std::atomic_ref(const_cast<std::uint64_t&>(source[i])).load(std::memory_order_acquire);  // sync: event.words
  }
  std::memcpy(reinterpret_cast<std::byte*>(&into) + kEventBodyOffset, words.data(), sizeof(words));
}

}  // namespace warden::shm
