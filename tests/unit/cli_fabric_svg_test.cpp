// SPDX-License-Identifier: Apache-2.0
// The picture of the mesh is XML that a parser takes, and everything of the mesh is in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>

#include "tests/support/process.h"
#include "tools/warden/fabric_svg.h"

namespace warden::cli {
namespace {

using fabric::FabricNodeId;
using fabric::RouterStateCommon;
using testing::HasSubstr;

// A mesh of `rows` x `columns`, with `links` on every edge.
FabricMap mesh_map(std::uint32_t rows, std::uint32_t columns, std::uint8_t links) {
  FabricMap map;
  map.meshes.push_back({.id = 0, .rows = rows, .columns = columns});
  for (std::uint32_t y = 0; y < rows; ++y) {
    for (std::uint32_t x = 0; x < columns; ++x) {
      const FabricNodeId here{0, x, y};
      map.devices.push_back({.node = here, .number = static_cast<std::uint16_t>(y * columns + x), .card = "card"});
      for (std::uint8_t k = 0; k < links; ++k) {
        const auto channel = [k](int first) { return static_cast<fabric::chan_id_t>(first + k); };
        if (x + 1 < columns) {
          map.links.push_back({.one = {.router = {here, channel(0)}, .state = RouterStateCommon::RUNNING},
                               .other = {.router = {{0, x + 1, y}, channel(4)}, .state = RouterStateCommon::PAUSED},
                               .direction = fabric::Direction::kEast});
        }
        if (y + 1 < rows) {
          map.links.push_back({.one = {.router = {here, channel(8)}},
                               .other = {.router = {{0, x, y + 1}, channel(12)}},
                               .direction = fabric::Direction::kSouth});
        }
      }
    }
  }
  return map;
}

// Reads it with a real parser; its complaint, or nothing.
std::string complaint_of_parser(const std::string& xml) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/picture.svg";
  std::ofstream(path) << xml;
  test::Process python({"python3", "-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])", path});
  return python.wait() == 0 ? "" : python.output();
}

std::size_t count_of(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  return static_cast<std::size_t>(std::distance(std::sregex_iterator(text.begin(), text.end(), expression), {}));
}

// Every chip and both halves of every link are there, each half with its router's name, in a place of its own.
TEST(FabricSvg, IsWholeAndWellFormed) {
  for (const auto& [rows, columns, links] : {std::tuple{1U, 2U, 1}, std::tuple{2U, 2U, 2}, std::tuple{4U, 8U, 4}}) {
    const FabricMap map = mesh_map(rows, columns, static_cast<std::uint8_t>(links));
    const std::string svg = svg_of(map);
    EXPECT_EQ(complaint_of_parser(svg), "");
    EXPECT_EQ(count_of(svg, "<line "), 2 * map.links.size());
    for (const MapDevice& device : map.devices) EXPECT_THAT(svg, HasSubstr(">" + to_string(device.node) + "</text>"));
    for (const MapLink& link : map.links) {
      EXPECT_THAT(svg, HasSubstr(to_string(link.one.router) + ":"));
      EXPECT_THAT(svg, HasSubstr(to_string(link.other.router) + ":"));
    }
    const std::regex place("<line (x1=.* y2=\"[0-9]+\")");
    std::set<std::string> places;
    for (std::sregex_iterator line(svg.begin(), svg.end(), place); line != std::sregex_iterator(); ++line) {
      places.insert((*line)[1]);
    }
    EXPECT_EQ(places.size(), 2 * map.links.size());
  }
}

// Each half has its own router's state and rate.
TEST(FabricSvg, SaysStatesAndRates) {
  FabricMap map = mesh_map(1, 2, 1);
  map.links[0].one.rate = TrafficRate{.words_per_second = 12'345, .packets_per_second = 190, .busy = 1};
  map.links[0].other.state.reset();
  const std::string svg = svg_of(map);
  EXPECT_EQ(count_of(svg, "<line [^>]*#2a9d4a[^>]*stroke-width=\"6.0\"><title>0:\\(0,0\\) E0: RUNNING, words 12.3 k/s"),
            1U)
      << svg;
  EXPECT_EQ(count_of(svg, "<line [^>]*#9a9a9a[^>]*stroke-width=\"2.0\"><title>0:\\(1,0\\) E4: none</title>"), 1U)
      << svg;
  EXPECT_THAT(svg, HasSubstr(">12.3 k/s</text>"));
}

// Rates stand along their links, so that no line runs through a number: those between rows are turned.
TEST(FabricSvg, RatesStandAlongTheirLinks) {
  FabricMap map = mesh_map(2, 2, 4);
  for (MapLink& link : map.links) link.one.rate = TrafficRate{.words_per_second = 555'700};
  const std::string svg = svg_of(map);
  EXPECT_EQ(count_of(svg, "class=\"small\">555\\.7 k/s"), 8U);
  EXPECT_EQ(count_of(svg, "class=\"small\" transform=\"rotate\\(-90 [0-9]+ [0-9]+\\)\">555\\.7 k/s"), 8U);
}

// Meshes lie below each other, and names of cards can't break out of the document.
TEST(FabricSvg, TakesAnyName) {
  FabricMap map = mesh_map(1, 1, 1);
  map.meshes.push_back({.id = 7, .rows = 1, .columns = 1});
  map.devices.push_back({.node = {7, 0, 0}, .card = "<a href=\"x\">&\x01\xff</a>"});
  const std::string svg = svg_of(map);
  EXPECT_EQ(complaint_of_parser(svg), "");
  EXPECT_THAT(svg, HasSubstr("&lt;a href=&quot;x&quot;&gt;&amp;??"));
  EXPECT_THAT(svg, HasSubstr("mesh 7: 1 x 1"));
  EXPECT_EQ(complaint_of_parser(svg_of({})), "");
}

// A map lists what it draws: as text, and as JSON with what is not known as null.
TEST(FabricMap, IsListed) {
  FabricMap map = mesh_map(2, 2, 1);
  map.devices[0].card.clear();
  const std::string text = format_map(map);
  EXPECT_THAT(text, HasSubstr("mesh 0: 2 rows x 2 columns, 4 devices, 4 links\n"));
  EXPECT_THAT(text, testing::ContainsRegex("0:\\(0,0\\) E0 +0:\\(1,0\\) E4 +east +RUNNING +PAUSED"));
  EXPECT_THAT(text, testing::ContainsRegex("0:\\(0,0\\) E8 +0:\\(0,1\\) E12 +south +none +none"));
  const Json json = json_of(map);
  ASSERT_EQ(json.at("links").size(), 4U);
  EXPECT_EQ(
      json.at("links")[0].at("ends")[1],
      (Json{{"mesh", 0}, {"x", 1}, {"y", 0}, {"channel", 4}, {"state", "PAUSED"}, {"words_per_second", nullptr}}));
  EXPECT_EQ(json.at("meshes")[0].at("devices")[0].at("card"), nullptr);
  EXPECT_EQ(json.at("meshes")[0].at("devices")[3], (Json{{"x", 1}, {"y", 1}, {"number", 3}, {"card", "card"}}));
}

}  // namespace
}  // namespace warden::cli
