// SPDX-License-Identifier: Apache-2.0
// Copies to and from mapped memory: every head, tail and block length.
#include <gtest/gtest.h>

#include <vector>

#include "driver/chip/block_copy.h"

namespace warden::chip {
namespace {

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i % 251 + 1);
  return data;
}

struct alignas(64) Card {
  std::byte bytes[1024];
};

// Proves that exactly the bytes asked for change, for every alignment on both sides and lengths over a block's end.
TEST(BlockCopy, ToCardWritesExactlyItsRange) {
  const auto source = counting(700);
  for (std::size_t at = 0; at < 36; ++at) {
    for (const std::size_t size : {0U, 1U, 2U, 3U, 4U, 5U, 31U, 32U, 33U, 255U, 256U, 257U, 300U, 512U, 611U}) {
      for (const std::size_t skip : {0U, 1U}) {
        Card card;
        std::fill(std::begin(card.bytes), std::end(card.bytes), std::byte{0});
        copy_to_card(card.bytes + at, std::span(source).subspan(skip, size));
        for (std::size_t i = 0; i < sizeof(card.bytes); ++i) {
          const bool inside = i >= at && i < at + size;
          ASSERT_EQ(card.bytes[i], inside ? source[i - at + skip] : std::byte{0}) << at << " " << size << " " << i;
        }
      }
    }
  }
}

// Proves the same of the way back.
TEST(BlockCopy, FromCardReadsExactlyItsRange) {
  Card card;
  const auto content = counting(sizeof(card.bytes));
  std::copy(content.begin(), content.end(), card.bytes);
  for (std::size_t at = 0; at < 36; ++at) {
    for (const std::size_t size : {0U, 1U, 3U, 4U, 5U, 33U, 255U, 256U, 257U, 512U, 611U}) {
      std::vector<std::byte> back(size + 2, std::byte{0});
      copy_from_card(std::span(back).subspan(1, size), card.bytes + at);
      ASSERT_EQ(back.front(), std::byte{0});
      ASSERT_EQ(back.back(), std::byte{0});
      for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(back[i + 1], content[at + i]) << at << " " << size << " " << i;
    }
  }
}

}  // namespace
}  // namespace warden::chip
