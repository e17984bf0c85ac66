// SPDX-License-Identifier: Apache-2.0
// Ways through a mesh, holes in it included, on which packets can't wait for each other in a circle.
//
// The turn model is west-first: all steps to the west come first, and nothing turns back. Whatever links there are,
// what waits for what is then free of circles, also while routers change from one set of tables to another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "driver/fabric/router_state.h"

namespace warden::fabric {

inline constexpr std::array kDirections{Direction::kEast, Direction::kWest, Direction::kSouth, Direction::kNorth};
[[nodiscard]] Direction opposite(Direction direction) noexcept;
// Whether a packet that came moving in `heading` (nothing: it starts here) may go on in `next`.
[[nodiscard]] bool turn_allowed(std::optional<Direction> heading, Direction next) noexcept;

// Which neighbours can be reached from where. Nodes are numbered y * columns + x.
class Grid {
 public:
  Grid(std::uint32_t rows, std::uint32_t columns)
      : rows_(rows), columns_(columns), open_(std::size_t{rows} * columns) {}

  [[nodiscard]] std::uint32_t nodes() const noexcept { return rows_ * columns_; }
  [[nodiscard]] std::uint32_t columns() const noexcept { return columns_; }
  [[nodiscard]] std::optional<std::uint32_t> neighbour(std::uint32_t node, Direction direction) const noexcept;
  // One way only.
  void open(std::uint32_t node, Direction direction) { open_[node][static_cast<std::size_t>(direction)] = true; }
  [[nodiscard]] bool is_open(std::uint32_t node, Direction direction) const noexcept {
    return neighbour(node, direction) && open_[node][static_cast<std::size_t>(direction)];
  }

 private:
  std::uint32_t rows_;
  std::uint32_t columns_;
  std::vector<std::array<bool, 4>> open_;
};

// Immutable. Shortest ways; of equal ones that which goes along x first: on a whole mesh x, then y.
class Routes {
 public:
  explicit Routes(const Grid& grid);

  // The next step towards `destination`; nothing if there is no way, or it is here.
  [[nodiscard]] std::optional<Direction> next(std::uint32_t node, std::optional<Direction> heading,
                                              std::uint32_t destination) const noexcept;

 private:
  // How a packet came to a node: one of the directions, or it starts there.
  static constexpr std::size_t kHeadings = 5;
  static constexpr std::uint8_t kNoStep = 0xFF;

  void compute(const Grid& grid, std::uint32_t destination);
  [[nodiscard]] std::size_t index(std::uint32_t node, std::optional<Direction> heading,
                                  std::uint32_t destination) const noexcept;

  std::uint32_t nodes_;
  std::vector<std::uint8_t> steps_;
};

}  // namespace warden::fabric
