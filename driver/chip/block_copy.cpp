// SPDX-License-Identifier: Apache-2.0
// Head and tail word by word, the middle in blocks of vector registers. memcpy won't do: on uncached memory its string
// instructions go byte by byte, and nothing forbids it to touch a word twice.
#include "driver/chip/block_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace warden::chip {
namespace {

constexpr std::size_t kWordBytes = 4;
// The widest vector that any path uses; the middle of a copy begins at a multiple of it on the card's side.
constexpr std::size_t kWidestBytes = 64;

template <std::size_t kBytes>
struct Vector {
  using Type [[gnu::vector_size(kBytes), gnu::may_alias]] = std::uint64_t;
};

std::size_t misalignment(const void* pointer, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(pointer) % alignment;
}

volatile std::uint32_t* word_at(void* card) { return static_cast<volatile std::uint32_t*>(card); }
const volatile std::uint32_t* word_at(const void* card) { return static_cast<const volatile std::uint32_t*>(card); }

// Four vectors at a time, loads before stores so that they overlap. Volatile on the card's side, which is aligned,
// keeps the compiler from turning the loop back into a call of memcpy; memcpy of one vector is the unaligned move of
// the host's side. Both return the bytes copied.
template <std::size_t kBytes>
[[gnu::always_inline]] inline std::size_t store_blocks(std::byte* card, const std::byte* from, std::size_t size) {
  using V = typename Vector<kBytes>::Type;
  auto* to = reinterpret_cast<volatile V*>(card);
  const std::size_t blocks = size / (4 * kBytes);
  for (std::size_t block = 0; block < blocks; ++block, to += 4, from += 4 * kBytes) {
    V v0, v1, v2, v3;
    std::memcpy(&v0, from, kBytes);
    std::memcpy(&v1, from + kBytes, kBytes);
    std::memcpy(&v2, from + 2 * kBytes, kBytes);
    std::memcpy(&v3, from + 3 * kBytes, kBytes);
    to[0] = v0;
    to[1] = v1;
    to[2] = v2;
    to[3] = v3;
  }
  return blocks * 4 * kBytes;
}

template <std::size_t kBytes>
[[gnu::always_inline]] inline std::size_t load_blocks(std::byte* into, const std::byte* card, std::size_t size) {
  using V = typename Vector<kBytes>::Type;
  const auto* from = reinterpret_cast<const volatile V*>(card);
  const std::size_t blocks = size / (4 * kBytes);
  for (std::size_t block = 0; block < blocks; ++block, from += 4, into += 4 * kBytes) {
    const V v0 = from[0], v1 = from[1], v2 = from[2], v3 = from[3];
    std::memcpy(into, &v0, kBytes);
    std::memcpy(into + kBytes, &v1, kBytes);
    std::memcpy(into + 2 * kBytes, &v2, kBytes);
    std::memcpy(into + 3 * kBytes, &v3, kBytes);
  }
  return blocks * 4 * kBytes;
}

struct Paths {
  std::size_t (*store)(std::byte* card, const std::byte* from, std::size_t size);
  std::size_t (*load)(std::byte* into, const std::byte* card, std::size_t size);
};

#if defined(__x86_64__)
[[gnu::target("avx512f")]] std::size_t store_64(std::byte* card, const std::byte* from, std::size_t size) {
  return store_blocks<64>(card, from, size);
}
[[gnu::target("avx512f")]] std::size_t load_64(std::byte* into, const std::byte* card, std::size_t size) {
  return load_blocks<64>(into, card, size);
}
[[gnu::target("avx2")]] std::size_t store_32(std::byte* card, const std::byte* from, std::size_t size) {
  return store_blocks<32>(card, from, size);
}
[[gnu::target("avx2")]] std::size_t load_32(std::byte* into, const std::byte* card, std::size_t size) {
  return load_blocks<32>(into, card, size);
}
#endif

std::size_t store_16(std::byte* card, const std::byte* from, std::size_t size) {
  return store_blocks<16>(card, from, size);
}
std::size_t load_16(std::byte* into, const std::byte* card, std::size_t size) {
  return load_blocks<16>(into, card, size);
}

Paths widest_paths() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {store_64, load_64};
  if (__builtin_cpu_supports("avx2")) return {store_32, load_32};
#endif
  return {store_16, load_16};
}

const Paths kPaths = widest_paths();

// `size` bytes inside the one word that `card` points into.
void store_part(std::byte* card, const std::byte* from, std::size_t size) {
  const std::size_t skip = misalignment(card, kWordBytes);
  volatile std::uint32_t* word = word_at(card - skip);
  std::uint32_t value = *word;
  std::memcpy(reinterpret_cast<std::byte*>(&value) + skip, from, size);
  *word = value;
}

void load_part(std::byte* into, const std::byte* card, std::size_t size) {
  const std::size_t skip = misalignment(card, kWordBytes);
  const std::uint32_t value = *word_at(card - skip);
  std::memcpy(into, reinterpret_cast<const std::byte*>(&value) + skip, size);
}

void store_word(std::byte* card, const std::byte* from) {
  std::uint32_t value = 0;
  std::memcpy(&value, from, kWordBytes);
  *word_at(card) = value;
}

void load_word(std::byte* into, const std::byte* card) {
  const std::uint32_t value = *word_at(card);
  std::memcpy(into, &value, kWordBytes);
}

// Cuts [card, card + size) into a partial word, words up to vector alignment, blocks, words, a partial word.
template <typename Part, typename Word, typename Middle>
[[gnu::always_inline]] inline void walk(const void* card, std::size_t size, Part part, Word word, Middle middle) {
  std::size_t at = 0;
  const std::size_t skip = misalignment(card, kWordBytes);
  if (skip != 0) {
    at = std::min(size, kWordBytes - skip);
    part(std::size_t{0}, at);
  }
  const auto* bytes = static_cast<const std::byte*>(card);
  for (; size - at >= kWordBytes && misalignment(bytes + at, kWidestBytes) != 0; at += kWordBytes) word(at);
  at += middle(at, size - at);
  for (; size - at >= kWordBytes; at += kWordBytes) word(at);
  if (at < size) part(at, size - at);
}

}  // namespace

void copy_to_card(void* card, std::span<const std::byte> from) noexcept {
  auto* to = static_cast<std::byte*>(card);
  const std::byte* source = from.data();
  walk(
      card, from.size(), [&](std::size_t at, std::size_t size) { store_part(to + at, source + at, size); },
      [&](std::size_t at) { store_word(to + at, source + at); },
      [&](std::size_t at, std::size_t size) { return kPaths.store(to + at, source + at, size); });
}

void copy_from_card(std::span<std::byte> into, const void* card) noexcept {
  const auto* from = static_cast<const std::byte*>(card);
  std::byte* target = into.data();
  walk(
      card, into.size(), [&](std::size_t at, std::size_t size) { load_part(target + at, from + at, size); },
      [&](std::size_t at) { load_word(target + at, from + at); },
      [&](std::size_t at, std::size_t size) { return kPaths.load(target + at, from + at, size); });
}

}  // namespace warden::chip
