// SPDX-License-Identifier: Apache-2.0
// The two networks on chip, as those who send requests into them see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tools/sim/access.h"

namespace warden::sim {

// A place on a tile. The coordinates are numbers of one of the NoCs, or translated ones.
struct NocPlace {
  std::uint8_t x = 0;
  std::uint8_t y = 0;
  std::uint64_t address = 0;
};

// The working Tensix tiles of a rectangle, corners included, in the direction of its NoC.
struct NocRectangle {
  std::uint8_t x_start = 0;
  std::uint8_t y_start = 0;
  std::uint8_t x_end = 0;
  std::uint8_t y_end = 0;
  std::uint64_t address = 0;
};

struct MulticastResult {
  Access access = Access::kOk;
  unsigned receivers = 0;
};

class Noc {
 public:
  virtual ~Noc() = default;
  [[nodiscard]] virtual Access noc_read(bool noc1, NocPlace from, std::span<std::byte> into) = 0;
  [[nodiscard]] virtual Access noc_write(bool noc1, NocPlace to, std::span<const std::byte> from) = 0;
  [[nodiscard]] virtual MulticastResult noc_multicast(bool noc1, const NocRectangle& to,
                                                      std::span<const std::byte> from) = 0;
};

}  // namespace warden::sim
