// SPDX-License-Identifier: Apache-2.0
// Routes through whole and broken meshes: they arrive, and what waits for what has no circle.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "driver/fabric/routes.h"

namespace warden::fabric {
namespace {

Grid whole(std::uint32_t rows, std::uint32_t columns) {
  Grid grid(rows, columns);
  for (std::uint32_t node = 0; node < grid.nodes(); ++node) {
    for (const Direction direction : kDirections) {
      if (grid.neighbour(node, direction)) grid.open(node, direction);
    }
  }
  return grid;
}

// The steps from here to there; nothing when the tables end elsewhere or go in circles.
std::optional<std::vector<Direction>> walk(const Grid& grid, const Routes& routes, std::uint32_t from,
                                           std::uint32_t to) {
  std::vector<Direction> steps;
  std::optional<Direction> heading;
  while (from != to) {
    const auto step = routes.next(from, heading, to);
    if (!step || !grid.is_open(from, *step) || !turn_allowed(heading, *step)) return std::nullopt;
    if (steps.size() > std::size_t{4} * grid.nodes()) return std::nullopt;
    steps.push_back(*step);
    heading = step;
    from = *grid.neighbour(from, *step);
  }
  return steps;
}

std::vector<Direction> dimension_order(const Grid& grid, std::uint32_t from, std::uint32_t to) {
  std::vector<Direction> steps;
  const auto go = [&](std::uint32_t a, std::uint32_t b, Direction up, Direction down) {
    for (; a < b; ++a) steps.push_back(up);
    for (; a > b; --a) steps.push_back(down);
  };
  go(from % grid.columns(), to % grid.columns(), Direction::kEast, Direction::kWest);
  go(from / grid.columns(), to / grid.columns(), Direction::kSouth, Direction::kNorth);
  return steps;
}

// Proves that on whole meshes every pair is reached along x first, then y.
TEST(FabricRoutes, WholeMeshesUseDimensionOrder) {
  for (std::uint32_t rows = 1; rows <= 4; ++rows) {
    for (std::uint32_t columns = 1; columns <= 8; ++columns) {
      const Grid grid = whole(rows, columns);
      const Routes routes(grid);
      for (std::uint32_t from = 0; from < grid.nodes(); ++from) {
        for (std::uint32_t to = 0; to < grid.nodes(); ++to) {
          EXPECT_EQ(walk(grid, routes, from, to), dimension_order(grid, from, to)) << rows << "x" << columns;
        }
      }
    }
  }
}

unsigned below(unsigned end, std::mt19937& random) { return static_cast<unsigned>(random() % end); }

Grid with_holes(std::uint32_t rows, std::uint32_t columns, unsigned percent, std::mt19937& random) {
  Grid grid(rows, columns);
  for (std::uint32_t node = 0; node < grid.nodes(); ++node) {
    for (const Direction direction : {Direction::kEast, Direction::kSouth}) {
      const auto next = grid.neighbour(node, direction);
      if (!next || below(100, random) < percent) continue;
      grid.open(node, direction);
      grid.open(*next, opposite(direction));
    }
  }
  return grid;
}

// Which nodes can be reached at all without a forbidden turn; found by trying everything.
std::set<std::uint32_t> reachable(const Grid& grid, std::uint32_t from) {
  std::set<std::pair<std::uint32_t, int>> seen;
  std::set<std::uint32_t> nodes{from};
  std::function<void(std::uint32_t, std::optional<Direction>)> go = [&](std::uint32_t node,
                                                                        std::optional<Direction> heading) {
    for (const Direction step : kDirections) {
      if (!grid.is_open(node, step) || !turn_allowed(heading, step)) continue;
      const std::uint32_t next = *grid.neighbour(node, step);
      if (!seen.emplace(next, static_cast<int>(step)).second) continue;
      nodes.insert(next);
      go(next, step);
    }
  };
  go(from, std::nullopt);
  return nodes;
}

using Channel = std::pair<std::uint32_t, int>;  // a node, and the direction in which one leaves it
bool has_circle(const std::map<Channel, std::set<Channel>>& graph) {
  std::map<Channel, int> state;  // 1: on the way, 2: done
  std::function<bool(const Channel&)> visit = [&](const Channel& channel) {
    if (state[channel] == 1) return true;
    if (state[channel] == 2) return false;
    state[channel] = 1;
    const auto found = graph.find(channel);
    if (found != graph.end()) {
      for (const Channel& next : found->second) {
        if (visit(next)) return true;
      }
    }
    state[channel] = 2;
    return false;
  };
  for (const auto& [channel, waits_for] : graph) {
    if (visit(channel)) return true;
  }
  return false;
}

void add_waits(const Grid& grid, const Routes& routes, std::map<Channel, std::set<Channel>>& graph) {
  for (std::uint32_t node = 0; node < grid.nodes(); ++node) {
    for (const Direction heading : kDirections) {
      const auto before = grid.neighbour(node, opposite(heading));
      if (!before || !grid.is_open(*before, heading)) continue;
      for (std::uint32_t to = 0; to < grid.nodes(); ++to) {
        const auto step = routes.next(node, heading, to);
        if (step) graph[{*before, static_cast<int>(heading)}].insert({node, static_cast<int>(*step)});
      }
    }
  }
}

// Proves that with links missing everything is reached that can be, by allowed turns over links that are there.
TEST(FabricRoutes, HolesAreGoneAround) {
  std::mt19937 random(7);
  std::size_t detours = 0;
  for (int round = 0; round < 60; ++round) {
    const Grid grid = with_holes(1 + below(4, random), 1 + below(8, random), below(50, random), random);
    const Routes routes(grid);
    for (std::uint32_t from = 0; from < grid.nodes(); ++from) {
      const auto nodes = reachable(grid, from);
      for (std::uint32_t to = 0; to < grid.nodes(); ++to) {
        const auto steps = walk(grid, routes, from, to);
        EXPECT_EQ(steps.has_value(), nodes.contains(to)) << from << " to " << to;
        if (steps && steps->size() > dimension_order(grid, from, to).size()) ++detours;
      }
    }
  }
  EXPECT_GT(detours, 0U) << "nothing was tried";
}

// Proves that no table, and no mixture of tables of two states of the links, lets packets wait in a circle.
TEST(FabricRoutes, NothingWaitsInACircle) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    const std::uint32_t rows = 2 + below(3, random);
    const std::uint32_t columns = 2 + below(7, random);
    std::map<Channel, std::set<Channel>> graph;
    for (int tables = 0; tables < 2; ++tables) {
      const Grid grid = with_holes(rows, columns, below(40, random), random);
      add_waits(grid, Routes(grid), graph);
    }
    EXPECT_FALSE(has_circle(graph)) << "round " << round;
  }
  std::map<Channel, std::set<Channel>> circle{{{0, 0}, {{1, 0}}}, {{1, 0}, {{0, 0}}}};
  EXPECT_TRUE(has_circle(circle)) << "the search finds none";
}

}  // namespace
}  // namespace warden::fabric
