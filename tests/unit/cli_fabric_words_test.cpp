// SPDX-License-Identifier: Apache-2.0
// What people type about the fabric, who sends to whom, and rates from counters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/warden/device_card.h"
#include "tools/warden/fabric_pattern.h"
#include "tools/warden/fabric_rates.h"
#include "tools/warden/fabric_selection.h"

namespace warden::cli {
namespace {

using fabric::FabricNodeId;
using testing::HasSubstr;

const FabricNodeId kFirst{0, 0, 0};
const FabricNodeId kSecond{0, 1, 0};
const FabricNodeId kThird{0, 0, 1};
const FabricNodeId kElsewhere{1, 0, 0};

// Card 2 is the first device: numbers are those of cards, not of nodes. The third one's card is not known.
const std::vector<Place> kPlaces = {{.node = kFirst, .card = 2, .name = "0000:01:00.0"},
                                    {.node = kSecond, .card = 0, .name = "vfio-user:/run/a-b/chip0.sock"},
                                    {.node = kThird},
                                    {.node = kElsewhere, .card = 1, .name = "0000:02:00.0"}};

// A device goes by its place, with or without its mesh, as it is printed, and by its card's number and name.
TEST(FabricDevice, HasManyNames) {
  for (const char* text : {"1,0", "(1,0)", "0:1,0", "0:(1,0)", "0", "vfio-user:/run/a-b/chip0.sock"}) {
    const auto found = find_device(text, kPlaces);
    ASSERT_TRUE(found) << text << ": " << found.error().message;
    EXPECT_EQ(*found, kSecond) << text;
  }
  EXPECT_EQ(find_device("2", kPlaces).value(), kFirst);
  EXPECT_EQ(find_device("0000:02:00.0", kPlaces).value(), kElsewhere);
  EXPECT_EQ(find_device("0,1", kPlaces).value(), kThird);
  EXPECT_EQ(find_device("0,0", kPlaces, 1).value(), kElsewhere);
  EXPECT_EQ(find_device("1:0,0", kPlaces, 0).value(), kElsewhere);
}

// What names no device is refused with the text, and with what there is.
TEST(FabricDevice, IsRefusedByName) {
  for (const char* text : {"", "3", "2,0", "1,0,0", "x,0", "1:1,0", "-1", "0000:01:00", "1,", ",", ":"}) {
    const auto found = find_device(text, kPlaces);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, Code::kNotFound);
    EXPECT_THAT(found.error().message, HasSubstr("'" + std::string(text) + "'"));
    EXPECT_THAT(found.error().message, HasSubstr("0:(0,0), 0:(1,0), 0:(0,1), 1:(0,0)"));
  }
}

// Channels are e0 to e15, whatever the letter looks like.
TEST(FabricChannel, IsOneOfSixteen) {
  EXPECT_EQ(parse_channel("e4").value(), 4);
  EXPECT_EQ(parse_channel("E15").value(), 15);
  EXPECT_EQ(parse_channel("0").value(), 0);
  for (const char* text : {"", "e", "e16", "16", "f1", "-1", "e-1", "ee1"}) EXPECT_FALSE(parse_channel(text)) << text;
}

// An edge is two devices, though names may have the sign between them inside.
TEST(FabricEdge, IsTwoDevices) {
  for (const char* text : {"0,0-1,0", "2-0", "0:(0,0)-0:(1,0)", "2-vfio-user:/run/a-b/chip0.sock"}) {
    const auto edge = find_edge(text, kPlaces);
    ASSERT_TRUE(edge) << text << ": " << edge.error().message;
    EXPECT_EQ(edge->one, kFirst) << text;
    EXPECT_EQ(edge->other, kSecond) << text;
  }
  EXPECT_EQ(find_edge("vfio-user:/run/a-b/chip0.sock-2", kPlaces).value().one, kSecond);
  for (const char* text : {"", "-", "0,0", "0,0-", "-1,0", "0,0-7,7", "0,0_1,0"}) {
    const auto edge = find_edge(text, kPlaces);
    ASSERT_FALSE(edge) << text;
    EXPECT_THAT(edge.error().message, HasSubstr("'" + std::string(text) + "'"));
  }
}

// Each option narrows the selection; nothing typed is everything; a mesh only says where X,Y is.
TEST(FabricSelection, IsWhatWasTyped) {
  const fabric::Selection all = make_selection({}, kPlaces).value();
  EXPECT_FALSE(all.mesh || all.node || all.channel || all.neighbour);
  EXPECT_EQ(make_selection({.mesh = 1}, kPlaces).value().mesh, 1U);
  const fabric::Selection one = make_selection({.device = "0,0", .channel = "e4", .mesh = 1}, kPlaces).value();
  EXPECT_FALSE(one.mesh);
  EXPECT_EQ(one.node, kElsewhere);
  EXPECT_EQ(one.channel, 4);
  const fabric::Selection edge = make_selection({.edge = "0,0-1,0"}, kPlaces).value();
  EXPECT_EQ(edge.node, kFirst);
  EXPECT_EQ(edge.neighbour, kSecond);
  EXPECT_FALSE(make_selection({.device = "9,9"}, kPlaces));
  EXPECT_FALSE(make_selection({.channel = "x"}, kPlaces));
  EXPECT_FALSE(make_selection({.edge = "0,0"}, kPlaces));
}

using Routes = std::vector<Route>;

// Each pattern has the routes it says, for even and odd numbers of devices, and none from a device to itself.
TEST(TrafficPatterns, HaveTheirRoutes) {
  const std::vector<FabricNodeId> three = {kFirst, kSecond, kThird};
  EXPECT_EQ(routes_of(TrafficPattern::kPairs, three), (Routes{{kFirst, kSecond}, {kSecond, kFirst}}));
  EXPECT_EQ(routes_of(TrafficPattern::kRing, three), (Routes{{kFirst, kSecond}, {kSecond, kThird}, {kThird, kFirst}}));
  EXPECT_EQ(routes_of(TrafficPattern::kAll, three), (Routes{{kFirst, kSecond},
                                                            {kFirst, kThird},
                                                            {kSecond, kFirst},
                                                            {kSecond, kThird},
                                                            {kThird, kFirst},
                                                            {kThird, kSecond}}));
  for (const auto pattern : {TrafficPattern::kPairs, TrafficPattern::kRing, TrafficPattern::kAll}) {
    EXPECT_TRUE(routes_of(pattern, {}).empty());
    EXPECT_TRUE(routes_of(pattern, std::span(three).first(1)).empty());
  }
}

using std::chrono::milliseconds;

// A rate is what was sent over the time between the two looks, not over what was meant to be between them.
TEST(TrafficRates, AreOverTheTimeBetween) {
  const std::chrono::steady_clock::time_point start{};
  const TrafficSample before{.when = start, .words = 100, .packets = 10, .active_cycles = 50, .cycles = 1000};
  const TrafficSample after{
      .when = start + milliseconds(250), .words = 600, .packets = 35, .active_cycles = 300, .cycles = 2000};
  const auto rate = rate_between(before, after);
  ASSERT_TRUE(rate);
  EXPECT_DOUBLE_EQ(rate->words_per_second, 2000);
  EXPECT_DOUBLE_EQ(rate->packets_per_second, 100);
  EXPECT_DOUBLE_EQ(rate->busy, 0.25);
  EXPECT_DOUBLE_EQ(rate_between(before, {.when = after.when, .words = 100, .packets = 10, .cycles = 1000})->busy, 0);
}

// Counters that went back are those of a router started anew: no rate, rather than a wild one.
TEST(TrafficRates, AreUnknownWhenRoutersStartAnew) {
  const std::chrono::steady_clock::time_point start{};
  const TrafficSample before{.when = start, .words = 100, .packets = 10, .cycles = 1000};
  EXPECT_FALSE(rate_between(before, {.when = start + milliseconds(1), .words = 99, .packets = 11, .cycles = 1001}));
  EXPECT_FALSE(rate_between(before, {.when = start + milliseconds(1), .words = 101, .packets = 9, .cycles = 1001}));
  EXPECT_FALSE(rate_between(before, {.when = start + milliseconds(1), .words = 101, .packets = 11, .cycles = 9}));
  EXPECT_FALSE(rate_between(before, before));
  const fabric::RouterId one{kFirst, 1};
  const fabric::RouterId two{kFirst, 2};
  const auto later = [&](std::uint64_t words) {
    return TrafficSample{.when = start + milliseconds(1), .words = words, .packets = 10, .cycles = 1000};
  };
  EXPECT_THAT(rates_between({{one, before}}, {{one, later(101)}, {two, later(5)}}),
              testing::ElementsAre(testing::Key(one)));
}

// A rate has three digits or so, and its unit.
TEST(TrafficRates, ArePrintedInTheirUnit) {
  EXPECT_EQ(format_rate(0), "0");
  EXPECT_EQ(format_rate(999.4), "999");
  EXPECT_EQ(format_rate(999.6), "1.0 k");
  EXPECT_EQ(format_rate(12'345), "12.3 k");
  EXPECT_EQ(format_rate(999'960), "1.00 M");
  EXPECT_EQ(format_rate(3'400'000), "3.40 M");
  EXPECT_EQ(format_rate(2.5e9), "2.50 G");
}

// Cards come from wardend's listing with their fused-off rows; an older wardend does not say them.
TEST(FabricCards, AreListedByWardend) {
  const auto cards = parse_cards(R"([{"name": "a", "harvested_rows": [11, 3]}, {"name": "b"}])");
  ASSERT_TRUE(cards);
  ASSERT_EQ(cards->size(), 2U);
  EXPECT_EQ(cards->at(0).name, "a");
  EXPECT_THAT(cards->at(0).harvested_rows, testing::ElementsAre(11, 3));
  EXPECT_TRUE(cards->at(1).harvested_rows.empty());
  for (const char* text : {"", "{}", "3", "[", "null"}) EXPECT_EQ(parse_cards(text).error().code, Code::kProtocol);
}

}  // namespace
}  // namespace warden::cli
