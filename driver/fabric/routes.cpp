// SPDX-License-Identifier: Apache-2.0
// One search for each destination, backwards over places and how one came there.
#include "driver/fabric/routes.h"

#include <deque>
#include <limits>

namespace warden::fabric {
namespace {

constexpr std::array<std::optional<Direction>, 5> kHeadings{Direction::kEast, Direction::kWest, Direction::kSouth,
                                                            Direction::kNorth, std::nullopt};

std::size_t slot(std::optional<Direction> heading) { return heading ? static_cast<std::size_t>(*heading) : 4; }

}  // namespace

Direction opposite(Direction direction) noexcept {
  switch (direction) {
    case Direction::kEast: return Direction::kWest;
    case Direction::kWest: return Direction::kEast;
    case Direction::kSouth: return Direction::kNorth;
    case Direction::kNorth: return Direction::kSouth;
  }
  return direction;
}

bool turn_allowed(std::optional<Direction> heading, Direction next) noexcept {
  if (!heading) return true;
  if (next == opposite(*heading)) return false;
  return next != Direction::kWest || *heading == Direction::kWest;
}

std::optional<std::uint32_t> Grid::neighbour(std::uint32_t node, Direction direction) const noexcept {
  const std::uint32_t x = node % columns_;
  const std::uint32_t y = node / columns_;
  switch (direction) {
    case Direction::kEast: return x + 1 < columns_ ? std::optional(node + 1) : std::nullopt;
    case Direction::kWest: return x > 0 ? std::optional(node - 1) : std::nullopt;
    case Direction::kSouth: return y + 1 < rows_ ? std::optional(node + columns_) : std::nullopt;
    case Direction::kNorth: return y > 0 ? std::optional(node - columns_) : std::nullopt;
  }
  return std::nullopt;
}

Routes::Routes(const Grid& grid) : nodes_(grid.nodes()), steps_(std::size_t{nodes_} * kHeadings * nodes_, kNoStep) {
  for (std::uint32_t destination = 0; destination < nodes_; ++destination) compute(grid, destination);
}

std::size_t Routes::index(std::uint32_t node, std::optional<Direction> heading,
                          std::uint32_t destination) const noexcept {
  return (std::size_t{destination} * nodes_ + node) * kHeadings + slot(heading);
}

std::optional<Direction> Routes::next(std::uint32_t node, std::optional<Direction> heading,
                                      std::uint32_t destination) const noexcept {
  if (node >= nodes_ || destination >= nodes_) return std::nullopt;
  const std::uint8_t step = steps_[index(node, heading, destination)];
  return step == kNoStep ? std::nullopt : std::optional(static_cast<Direction>(step));
}

void Routes::compute(const Grid& grid, std::uint32_t destination) {
  constexpr std::uint32_t kFar = std::numeric_limits<std::uint32_t>::max();
  struct Place {
    std::uint32_t node;
    std::optional<Direction> heading;
  };
  std::vector<std::uint32_t> distance(std::size_t{nodes_} * kHeadings, kFar);
  const auto distance_of = [&](const Place& at) -> std::uint32_t& {
    return distance[at.node * kHeadings + slot(at.heading)];
  };
  std::deque<Place> found;
  for (const auto heading : fabric::kHeadings) {
    distance_of({destination, heading}) = 0;
    found.push_back({destination, heading});
  }
  while (!found.empty()) {
    const Place at = found.front();
    found.pop_front();
    if (!at.heading) continue;  // nothing leads to where it starts
    const auto before = grid.neighbour(at.node, opposite(*at.heading));
    if (!before || !grid.is_open(*before, *at.heading)) continue;
    for (const auto heading : fabric::kHeadings) {
      const Place previous{*before, heading};
      if (!turn_allowed(heading, *at.heading) || distance_of(previous) != kFar) continue;
      distance_of(previous) = distance_of(at) + 1;
      found.push_back(previous);
    }
  }
  for (std::uint32_t node = 0; node < nodes_; ++node) {
    for (const auto heading : fabric::kHeadings) {
      const std::uint32_t here = distance_of({node, heading});
      if (here == 0 || here == kFar) continue;
      // The order of the directions is the preference: x before y.
      for (const Direction step : kDirections) {
        const auto next = grid.neighbour(node, step);
        if (!next || !grid.is_open(node, step) || !turn_allowed(heading, step)) continue;
        if (distance_of({*next, step}) + 1 != here) continue;
        steps_[index(node, heading, destination)] = static_cast<std::uint8_t>(step);
        break;
      }
    }
  }
}

}  // namespace warden::fabric
