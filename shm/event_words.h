// SPDX-License-Identifier: Apache-2.0
// An event record as 64-bit words, so that writing and copying it at the same time is no data race: the part after
// `sequence`, which says whether the copy is whole. Text goes word by word up to the one with its NUL: after a long
// sleep every cache line not touched is a tenth of a microsecond won.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "shm/directory_layout.h"

namespace warden::shm {

inline constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
inline constexpr std::size_t kEventHeadOffset = sizeof(Word64);
inline constexpr std::size_t kEventHeadWords = (offsetof(EventRecord, text) - kEventHeadOffset) / kWordBytes;
inline constexpr std::size_t kEventTextBytes = sizeof(EventRecord::text);
static_assert(kEventTextBytes % kWordBytes == 0);

// The fields between `sequence` and `text`, in the order of the record.
struct EventHead {
  std::uint64_t time_ns = 0;
  std::uint64_t reset_id = 0;
  std::uint64_t device_mask = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t value = 0;
  std::uint32_t kind = 0;
  std::uint32_t phase = 0;
  std::uint32_t result = 0;
  std::int32_t pid = 0;
  std::uint64_t session_id = 0;
};
static_assert(sizeof(EventHead) == kEventHeadWords * kWordBytes);
static_assert(offsetof(EventHead, kind) + kEventHeadOffset == offsetof(EventRecord, kind));
static_assert(offsetof(EventHead, session_id) + kEventHeadOffset == offsetof(EventRecord, session_id));

// What is read of every event: the head and the beginning of the text.
inline constexpr std::size_t kEventFirstBytes = 128;

namespace event_words {

using HeadWords = std::array<std::uint64_t, kEventHeadWords>;

// Each store is a release, so that a reader who sees one of the new words also sees that `sequence` was taken away.
inline void store(std::byte* at, std::uint64_t word) noexcept {
  std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)).store(word, std::memory_order_release);  // sync: event.words
}
// Each load is an acquire, so that `sequence` is looked at again after all of them.
inline std::uint64_t load(const std::byte* at) noexcept {
  // atomic_ref of const arrives with C++26; a lock-free load does not write.
  auto& word = *reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(at));
  return std::atomic_ref(word).load(std::memory_order_acquire);  // sync: event.words
}

// Place of the lowest zero byte, 8 if there is none.
inline std::size_t first_nul(std::uint64_t word) noexcept {
  constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101;
  constexpr std::uint64_t kHighs = 0x8080'8080'8080'8080;
  return static_cast<std::size_t>(std::countr_zero((word - kOnes) & ~word & kHighs)) / 8;
}

}  // namespace event_words

inline void store_event_words(EventRecord& slot, const EventHead& head, std::string_view text) noexcept {
  auto* start = reinterpret_cast<std::byte*>(&slot);
  const auto words = std::bit_cast<event_words::HeadWords>(head);
  for (std::size_t i = 0; i < words.size(); ++i)
    event_words::store(start + kEventHeadOffset + i * kWordBytes, words[i]);
  text = text.substr(0, kEventTextBytes - 1);
  for (std::size_t done = 0;; done += kWordBytes) {
    const std::string_view part = text.substr(std::min(done, text.size()), kWordBytes);
    std::uint64_t word = 0;
    part.copy(reinterpret_cast<char*>(&word), kWordBytes);
    event_words::store(start + offsetof(EventRecord, text) + done, word);
    if (part.size() < kWordBytes) return;  // its NUL is in this word
  }
}

// A copy in fixed memory: what a listener reads between its wake and its callback.
struct RawEvent {
  EventHead head;
  std::array<char, kEventTextBytes> letters;  // the first text_bytes of them are valid
  std::size_t text_bytes = 0;

  [[nodiscard]] std::string_view text() const noexcept { return {letters.data(), text_bytes}; }
};

inline void load_event_words(const EventRecord& slot, RawEvent& into) noexcept {
  const auto* start = reinterpret_cast<const std::byte*>(&slot);
  event_words::HeadWords words;
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = event_words::load(start + kEventHeadOffset + i * kWordBytes);
  into.head = std::bit_cast<EventHead>(words);
  for (std::size_t done = 0; done < kEventTextBytes; done += kWordBytes) {
    const std::uint64_t word = event_words::load(start + offsetof(EventRecord, text) + done);
    std::memcpy(into.letters.data() + done, &word, kWordBytes);
    const std::size_t nul = event_words::first_nul(word);
    into.text_bytes = done + nul;
    if (nul < kWordBytes) return;
  }
}

}  // namespace warden::shm
