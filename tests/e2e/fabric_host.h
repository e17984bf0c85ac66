// SPDX-License-Identifier: Apache-2.0
// A host with a mesh of simulated cards, and `warden fabric` as people type it there.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {

using nlohmann::json;

class FabricHost : public testing::Test {
 protected:
  static constexpr int kChips = 4;

  void SetUp() override {
    ASSERT_TRUE(host_.start_simulator({"--board", "mesh:2x2"})) << host_.why();
    std::vector<std::string> others;  // chip 0 is always given
    for (int chip = 1; chip < kChips; ++chip) others.insert(others.end(), {"--device", card(chip)});
    ASSERT_TRUE(host_.start_daemon(others)) << host_.why();
  }

  [[nodiscard]] std::string card(int chip) const {
    return "vfio-user:" + host_.directory() + "/sim/chip" + std::to_string(chip) + ".sock";
  }

  struct Answer {
    std::optional<int> status;
    std::string out;
    std::string err;
    [[nodiscard]] json parsed() const { return json::parse(out, nullptr, false); }
  };
  // `warden fabric WORDS`
  [[nodiscard]] Answer fabric(std::vector<std::string> words) const {
    words.insert(words.begin(), "fabric");
    Process warden = host_.run("warden", std::move(words));
    const auto status = warden.wait();
    return {.status = status, .out = warden.out(), .err = warden.err()};
  }
  // That ends well, and prints JSON.
  [[nodiscard]] json good(std::vector<std::string> words) const {
    words.emplace_back("--json");
    const Answer answer = fabric(words);
    EXPECT_EQ(answer.status, 0) << json(words) << answer.out << answer.err;
    return answer.parsed();
  }
  // How many routers are in this state.
  [[nodiscard]] std::size_t count(const std::string& state) const {
    return fabric({"status", "--json"}).parsed().at("states").value(state, std::size_t{0});
  }
  // Words that all routers have sent together.
  [[nodiscard]] std::uint64_t words_sent() const {
    const json status = fabric({"status", "--json"}).parsed();
    std::uint64_t words = 0;
    for (const json& router : status.at("routers")) {
      words += router.at("words_sent").get<std::uint64_t>();
    }
    return words;
  }
  // Everything that was sent has arrived at every sink, and nothing is left of the traffic.
  void expect_stopped(const json& stopped, std::size_t flows) const {
    ASSERT_EQ(stopped.at("flows").size(), flows) << stopped;
    for (const json& flow : stopped.at("flows")) {
      EXPECT_GT(flow.at("sent").get<std::uint64_t>(), 0U) << flow;
      EXPECT_EQ(flow.at("sent"), flow.at("received")) << flow;
      EXPECT_EQ(flow.at("out_of_order"), 0) << flow;
      EXPECT_EQ(flow.at("corrupt"), 0) << flow;
    }
    EXPECT_EQ(stopped.at("sent"), stopped.at("received"));
    const json left = good({"traffic", "status"});
    EXPECT_EQ(left.at("generators"), 0) << left;
    EXPECT_EQ(left.at("sinks"), 0) << left;
  }

  Host host_;
};

}  // namespace warden::test
