// SPDX-License-Identifier: Apache-2.0
// Meshes found in link words: places, numbers, what is left out, and what is refused as a contradiction.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/fabric_mesh.h"

namespace warden::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MeshWords;

// Proves that every chip of a whole mesh gets its place, and every link its direction and its other end.
TEST(FabricTopology, WholeMesh) {
  const auto topology = MeshWords(2, 3, 2).topology();
  ASSERT_TRUE(topology) << topology.error().message;
  ASSERT_EQ(topology->meshes.size(), 1U);
  EXPECT_EQ(topology->meshes[0].rows, 2U);
  EXPECT_EQ(topology->meshes[0].columns, 3U);
  EXPECT_THAT(topology->meshes[0].cards, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(topology->remarks, IsEmpty());
  const Device& device = topology->devices[4];
  EXPECT_EQ(device.node, (FabricNodeId{.mesh_id = 0, .logical_x = 1, .logical_y = 1}));
  EXPECT_EQ(device.number, 4);
  std::vector<std::tuple<int, Direction, std::size_t, int>> links;
  for (const Link& link : device.links) {
    links.emplace_back(link.channel, link.direction, link.peer_card, link.peer_channel);
  }
  using D = Direction;
  EXPECT_THAT(links, ElementsAre(std::tuple(0, D::kEast, 5U, 4), std::tuple(1, D::kEast, 5U, 5),
                                 std::tuple(4, D::kWest, 3U, 0), std::tuple(5, D::kWest, 3U, 1),
                                 std::tuple(12, D::kNorth, 1U, 8), std::tuple(13, D::kNorth, 1U, 9)));
}

// Proves that parts that don't hang together are meshes of their own, numbered from 0 in both coordinates.
TEST(FabricTopology, Parts) {
  MeshWords words(1, 4);
  words.cut(1, 0);
  const auto topology = words.topology();
  ASSERT_TRUE(topology) << topology.error().message;
  ASSERT_EQ(topology->meshes.size(), 2U);
  EXPECT_THAT(topology->meshes[1].cards, ElementsAre(2, 3));
  EXPECT_EQ(topology->meshes[1].columns, 2U);
  EXPECT_EQ(topology->devices[3].node, (FabricNodeId{.mesh_id = 1, .logical_x = 1, .logical_y = 0}));
}

// Proves that a chip without links is a mesh of one, and that two of them are not taken for one.
TEST(FabricTopology, LoneChips) {
  const std::vector<CardLinks> cards(2);
  const std::vector<std::string> names{"a", "b"};
  const auto topology = make_topology(cards, names);
  ASSERT_TRUE(topology) << topology.error().message;
  ASSERT_EQ(topology->meshes.size(), 2U);
  EXPECT_EQ(topology->meshes[1].rows, 1U);
  EXPECT_THAT(topology->devices[1].links, IsEmpty());
}

// Proves that a link is used only if it is up at both ends, and that one that is not is named.
TEST(FabricTopology, UpAtOneEnd) {
  for (const LinkState state : {LinkState::kTraining, LinkState::kDown}) {
    MeshWords words(2, 2);
    words.link(1, 4).state = state;
    const auto topology = words.topology();
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_EQ(topology->devices[0].links.size(), 1U);
    EXPECT_EQ(topology->devices[1].links.size(), 1U);
    EXPECT_THAT(topology->remarks,
                ::testing::Contains(HasSubstr("chip0 E0 is up, but not at its other end, chip1 E4")));
    EXPECT_EQ(topology->remarks.size(), state == LinkState::kTraining ? 2U : 1U);
  }
}

// Proves that links to strangers and links that join no neighbours are left out and named.
TEST(FabricTopology, LeavesOut) {
  MeshWords words(1, 4);
  words.cable(0, 15, 3, 15);
  words.link(1, 9) = {LinkState::kUp, words.name(1), {.board = 7, .x = 1, .y = 1}, 3};
  const auto topology = words.topology();
  ASSERT_TRUE(topology) << topology.error().message;
  EXPECT_EQ(topology->meshes.size(), 1U);
  EXPECT_EQ(topology->devices[0].links.size(), 1U);
  EXPECT_THAT(topology->remarks, ElementsAre(HasSubstr("chip0 E15 joins chips (0,0) and (3,0)"),
                                             HasSubstr("chip1 E9 leads to chip (1,1)"), HasSubstr("chip3 E15")));
}

// Proves that contradictions are errors of one line that name the ends.
TEST(FabricTopology, Contradictions) {
  const auto error_of = [](auto change) {
    MeshWords words(2, 2);
    change(words);
    const auto topology = words.topology();
    if (topology) return std::string("none");
    EXPECT_EQ(topology.error().code, Code::kProtocol);
    EXPECT_EQ(topology.error().message.find('\n'), std::string::npos);
    return topology.error().message;
  };
  EXPECT_THAT(error_of([](MeshWords& words) { words.link(1, 4).remote_channel = 3; }),
              HasSubstr("chip0 E0 says that it leads to chip1 E4, which says that it leads to E3"));
  EXPECT_THAT(error_of([](MeshWords& words) { words.link(1, 4).there = words.name(3); }), HasSubstr("chip0 E0"));
  EXPECT_THAT(error_of([](MeshWords& words) { words.link(2, 0).here.x = 1; }),
              HasSubstr("chip2 E12 says that its chip is"));
  EXPECT_THAT(error_of([](MeshWords& words) {
                words.link(3, 4).here = words.name(0);
                words.link(3, 12).here = words.name(0);
              }),
              HasSubstr("chip0 and chip3 E4 both say"));
}

}  // namespace
}  // namespace warden::fabric
