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
constexpr std::size_t kVectorsABlock = 8;

using Vector16 = std::uint64_t __attribute__((vector_size(16)));
using Vector32 = std::uint64_t __attribute__((vector_size(32)));

std::size_t misalignment(const void* pointer, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(pointer) % alignment;
}

volatile std::uint32_t* word_at(void* card) { return static_cast<volatile std::uint32_t*>(card); }
const volatile std::uint32_t* word_at(const void* card) { return static_cast<const volatile std::uint32_t*>(card); }

// Volatile keeps the compiler from turning the loop back into a call of memcpy. Loads come before the stores of a
// block so that they overlap. Returns bytes copied.
template <typename Vector>
[[gnu::always_inline]] inline std::size_t store_blocks(std::byte* card, const std::byte* from, std::size_t size) {
  constexpr std::size_t kBlockBytes = sizeof(Vector) * kVectorsABlock;
  std::size_t done = 0;
  for (; size - done >= kBlockBytes; done += kBlockBytes) {
    Vector block[kVectorsABlock];
    std::memcpy(block, from + done, kBlockBytes);
    auto* to = reinterpret_cast<volatile Vector*>(card + done);
    for (std::size_t i = 0; i < kVectorsABlock; ++i) to[i] = block[i];
  }
  return done;
}

template <typename Vector>
[[gnu::always_inline]] inline std::size_t load_blocks(std::byte* into, const std::byte* card, std::size_t size) {
  constexpr std::size_t kBlockBytes = sizeof(Vector) * kVectorsABlock;
  std::size_t done = 0;
  for (; size - done >= kBlockBytes; done += kBlockBytes) {
    Vector block[kVectorsABlock];
    const auto* from = reinterpret_cast<const volatile Vector*>(card + done);
    for (std::size_t i = 0; i < kVectorsABlock; ++i) block[i] = from[i];
    std::memcpy(into + done, block, kBlockBytes);
  }
  return done;
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] std::size_t store_blocks_avx2(std::byte* card, const std::byte* from, std::size_t size) {
  return store_blocks<Vector32>(card, from, size);
}
[[gnu::target("avx2")]] std::size_t load_blocks_avx2(std::byte* into, const std::byte* card, std::size_t size) {
  return load_blocks<Vector32>(into, card, size);
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
#endif

std::size_t store_middle(std::byte* card, const std::byte* from, std::size_t size) {
#if defined(__x86_64__)
  if (kHasAvx2) return store_blocks_avx2(card, from, size);
#endif
  return store_blocks<Vector16>(card, from, size);
}

std::size_t load_middle(std::byte* into, const std::byte* card, std::size_t size) {
#if defined(__x86_64__)
  if (kHasAvx2) return load_blocks_avx2(into, card, size);
#endif
  return load_blocks<Vector16>(into, card, size);
}

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
  for (; size - at >= kWordBytes && misalignment(bytes + at, sizeof(Vector32)) != 0; at += kWordBytes) word(at);
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
      [&](std::size_t at, std::size_t size) { return store_middle(to + at, source + at, size); });
}

void copy_from_card(std::span<std::byte> into, const void* card) noexcept {
  const auto* from = static_cast<const std::byte*>(card);
  std::byte* target = into.data();
  walk(
      card, into.size(), [&](std::size_t at, std::size_t size) { load_part(target + at, from + at, size); },
      [&](std::size_t at) { load_word(target + at, from + at); },
      [&](std::size_t at, std::size_t size) { return load_middle(target + at, from + at, size); });
}

}  // namespace warden::chip
