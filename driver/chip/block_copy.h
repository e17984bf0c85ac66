// SPDX-License-Identifier: Apache-2.0
// Copies between host memory and memory of a card that is mapped uncached into this process. The card sees whole
// aligned 32-bit words or wider, never bytes: it need not support narrower accesses (tt-umd copies the same way).
#pragma once

#include <cstddef>
#include <span>

namespace warden::chip {

// Any length and alignment. A word that is written in part is read, changed and written back: two writers of one word
// lose each other's bytes. Ascending addresses; wide stores, so as fast as memcpy on ordinary memory.
void copy_to_card(void* card, std::span<const std::byte> from) noexcept;
// Any length and alignment; reads whole words around the ends.
void copy_from_card(std::span<std::byte> into, const void* card) noexcept;

}  // namespace warden::chip
