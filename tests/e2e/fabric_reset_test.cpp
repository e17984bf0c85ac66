// SPDX-License-Identifier: Apache-2.0
// A card reset in the middle of a fabric that carries traffic: what has to wait, what must not notice, and that nothing
// is lost, also when wardend's worker dies of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <warden/session.h>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/router_state_manager.h"
#include "tests/conformance/fabric_traffic.h"
#include "tests/support/host.h"
#include "tools/warden/device_card.h"

namespace warden::test {
namespace {

using fabric::ControlPlane;
using fabric::FabricNodeId;
using fabric::testing::Traffic;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// A mesh of 2 x 2 whose chip (1,0) is reset. From (0,0) to (1,1) the way leads through it; from (0,0) to (0,1) not.
class FabricReset : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start_simulator({"--board", "mesh:2x2"})) << host_.why();
    std::vector<std::string> others;  // the first chip is always given
    for (const int chip : {1, 2, 3}) {
      others.insert(others.end(),
                    {"--device", "vfio-user:" + host_.directory() + "/sim/chip" + std::to_string(chip) + ".sock"});
    }
    ASSERT_TRUE(host_.start_daemon(others)) << host_.why();
    auto session = Session::attach({.socket_path = host_.socket_path()});
    ASSERT_TRUE(session) << session.error().message;
    session_ = *session;
    fabric_ = new_control_plane();
    ASSERT_TRUE(fabric_);
    const Status up = fabric_->bring_up();
    ASSERT_TRUE(up) << up.error().message;
    traffic_.emplace(*fabric_, fabric::testing::TrafficOptions{});
  }
  std::unique_ptr<ControlPlane> new_control_plane() {
    auto cards = cli::open_cards(session_);
    EXPECT_TRUE(cards) << cards.error().message;
    return cards ? std::make_unique<ControlPlane>(std::move(*cards)) : nullptr;
  }
  // Their cards, where they were reset, are new ones to this process as well.
  std::unique_ptr<ControlPlane> attached() {
    auto control_plane = new_control_plane();
    const Status found = control_plane->attach();
    EXPECT_TRUE(found) << found.error().message;
    return control_plane;
  }
  [[nodiscard]] std::string card_of(const FabricNodeId& node) const {
    return fabric_->cards()[*fabric_->card_of(node)]->name();
  }
  struct Reset {
    int status;
    json report;
  };
  Reset reset(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"reset", "--json"});
    Process process = host_.run("warden", std::move(arguments));
    const int status = process.wait().value_or(-1);
    json report = json::parse(process.out(), nullptr, false);
    EXPECT_FALSE(report.is_discarded()) << process.output();
    return {status, std::move(report)};
  }
  [[nodiscard]] pid_t worker_pid() const {
    const auto status = session_->status_json();
    EXPECT_TRUE(status) << status.error().message;
    return json::parse(status.value_or("{}")).value("worker_pid", pid_t{0});
  }
  std::uint32_t sent_by(const Traffic::Flow& flow) {
    const auto generator = fabric::read_generator(*fabric_, flow.generator);
    return generator ? generator->sent : 0;
  }
  void expect_all_running(ControlPlane& control_plane) {
    EXPECT_EQ(control_plane.routers().size(), 8U);
    fabric::FabricRouterStateManager manager(control_plane);
    const fabric::Condition condition = manager.examine();
    EXPECT_TRUE(condition.settled());
    EXPECT_EQ(condition.running, 8U);
  }

  static constexpr FabricNodeId kOrigin{0, 0, 0};
  static constexpr FabricNodeId kReset{0, 1, 0};
  static constexpr FabricNodeId kSouth{0, 0, 1};
  static constexpr FabricNodeId kBeyond{0, 1, 1};
  Host host_;
  std::shared_ptr<Session> session_;
  std::unique_ptr<ControlPlane> fabric_;
  std::optional<Traffic> traffic_;
};

TEST_F(FabricReset, OthersNoticeNothingAndWhatLeadsThroughWaits) {
  traffic_->add(kOrigin, kSouth);
  traffic_->add(kOrigin, kBeyond);
  traffic_->add(kSouth, kBeyond);
  // While the card resets, the flow that has nothing to do with it goes on: looked at all the time. On a busy host a
  // look may find nothing new without any reset: how often is counted before.
  std::atomic<bool> done{false};
  std::uint32_t steps = 0;
  std::uint32_t silent_looks = 0;
  std::uint32_t before = 0;
  const auto flow = traffic_->flows().front();
  const auto is_silent = [&] {
    ::usleep(20'000);
    const std::uint32_t now = sent_by(flow);
    return now == std::exchange(before, now);
  };
  constexpr std::uint32_t kQuietLooks = 40;
  std::uint32_t silent_before = 0;
  for (std::uint32_t look = 0; look < kQuietLooks; ++look) silent_before += is_silent() ? 1U : 0U;
  ASSERT_LT(silent_before, kQuietLooks / 2) << "too little moves without a reset to tell anything";
  std::thread watcher([&] {
    for (; !done.load(); ++steps) silent_looks += is_silent() ? 1U : 0U;
  });
  const Reset result = reset({"--device", card_of(kReset)});
  done.store(true);
  watcher.join();
  EXPECT_EQ(result.status, 0) << result.report;
  const json& fabric = result.report.at("fabric");
  EXPECT_TRUE(fabric.at("restored").get<bool>()) << fabric;
  EXPECT_EQ(fabric.at("routers_paused"), 2) << fabric;
  EXPECT_EQ(fabric.at("packets_lost"), 0) << fabric;
  EXPECT_GE(fabric.at("routes_held"), 1) << fabric;
  EXPECT_GE(fabric.at("packets_delayed"), 1) << fabric;
  EXPECT_EQ(fabric.at("complaint"), "") << fabric;
  EXPECT_GT(steps, 10U);
  EXPECT_LT(silent_looks, steps / 4 + steps * silent_before / kQuietLooks)
      << "of " << steps << " looks; before " << silent_before << " of " << kQuietLooks;

  const auto after = attached();
  expect_all_running(*after);
  traffic_->end();
  EXPECT_GT(traffic_->expect_exact(), 0U);
}

TEST_F(FabricReset, AllOfIt) {
  traffic_->add(kOrigin, kBeyond);
  const Reset result = reset({});
  EXPECT_EQ(result.status, 0) << result.report;
  EXPECT_TRUE(result.report.at("fabric").at("restored").get<bool>()) << result.report.at("fabric");
  expect_all_running(*attached());
}

// Nobody sends into a card that did not reset: traffic waits, the exit status says so, and the next reset brings it
// back.
TEST_F(FabricReset, AResetThatFails) {
  traffic_->add(kOrigin, kBeyond);
  const std::string chip = std::to_string(*fabric_->card_of(kReset));
  ASSERT_TRUE(host_.simulator({"fault", chip, "reset-ignored"}));
  const Reset failed = reset({"--device", card_of(kReset)});
  EXPECT_EQ(failed.status, 1);
  EXPECT_FALSE(failed.report.at("fabric").at("restored").get<bool>());
  ASSERT_TRUE(host_.simulator({"fault", chip, "none"}));
  const Reset good = reset({"--device", card_of(kReset)});
  EXPECT_EQ(good.status, 0) << good.report;
  EXPECT_TRUE(good.report.at("fabric").at("restored").get<bool>()) << good.report.at("fabric");
  expect_all_running(*attached());
  traffic_->end();
  EXPECT_GT(traffic_->expect_exact(), 0U);
}

// A router that hangs can't be let out in time: the reset takes place, and says what became of it.
TEST_F(FabricReset, ARouterOfTheCardHangs) {
  traffic_->add(kOrigin, kBeyond);
  const std::string chip = std::to_string(*fabric_->card_of(kReset));
  const auto* toward_origin = &*std::ranges::find_if(fabric_->routers(), [](const fabric::Router& router) {
    return router.id.node == kReset && router.peer.node == kOrigin;
  });
  ASSERT_TRUE(host_.simulator({"hang", chip, "e" + std::to_string(toward_origin->id.channel)}));
  const Reset result = reset({"--device", card_of(kReset)});
  EXPECT_EQ(result.status, 0) << result.report;
  const json& fabric = result.report.at("fabric");
  EXPECT_TRUE(fabric.at("restored").get<bool>()) << fabric;
  EXPECT_THAT(fabric.at("complaint").get<std::string>(), HasSubstr("does not answer"));
  expect_all_running(*attached());
}

// Workers on a card that is reset are gone. Traffic is stopped all the same, and what was sent to them is told.
TEST_F(FabricReset, TrafficToTheCardIsStopped) {
  const auto traffic = [this](std::vector<std::string> words) {
    words.insert(words.begin(), {"fabric", "traffic"});
    Process process = host_.run("warden", std::move(words));
    const int status = process.wait().value_or(-1);
    return std::pair(status, process.output());
  };
  ASSERT_EQ(traffic({"start", "--pattern", "all"}).first, 0);
  ASSERT_EQ(reset({"--device", card_of(kReset)}).status, 0);
  const auto [status, output] = traffic({"stop"});
  EXPECT_EQ(status, 1) << output;
  EXPECT_THAT(output, HasSubstr("STOPPED 12 flows")) << output;
  EXPECT_THAT(output, Not(HasSubstr("NOT STOPPED"))) << output;
  EXPECT_THAT(output, HasSubstr("sinks that are gone")) << output;
  EXPECT_THAT(traffic({"stop"}).second, HasSubstr("no traffic to stop"));
}

TEST_F(FabricReset, CardsWithoutRoutersHaveNoFabric) {
  // All cards reset, and the fabric not brought up again: a reset has nothing to do with it.
  ASSERT_EQ(reset({}).status, 0);
  for (const auto& device : fabric_->cards()) EXPECT_TRUE(device->renew());
  for (const fabric::Router& router : fabric_->routers()) {
    constexpr chip::CardAddress kMagic{kernels::kRouterBlock};
    EXPECT_TRUE(fabric_->card(router).write32(router.tile, kMagic, 0));
  }
  const Reset result = reset({"--device", card_of(kReset)});
  EXPECT_EQ(result.status, 0);
  EXPECT_FALSE(result.report.contains("fabric")) << result.report;
}

// Wherever the worker is killed, the reset has a result, and with a good one traffic is back, nothing lost.
TEST_F(FabricReset, TheWorkerIsKilled) {
  traffic_->add(kOrigin, kSouth);
  traffic_->add(kOrigin, kBeyond);
  for (int round = 0; round < 6; ++round) {
    Process asking = host_.run("warden", {"reset", "--json", "--device", card_of(kReset)});
    ::usleep(static_cast<useconds_t>(round) * 150'000);
    ::kill(worker_pid(), SIGKILL);
    ASSERT_TRUE(asking.wait()) << asking.output();
    const json report = json::parse(asking.out(), nullptr, false);
    ASSERT_FALSE(report.is_discarded()) << asking.output();
    if (report.at("result") == "ok") continue;
    ADD_FAILURE() << report;
  }
  // Killed after its reset had ended, the worker may still be about to be replaced.
  auto after = new_control_plane();
  fabric::Patience patience(fabric::testing::kPatience);
  while ((!after->attach() || after->routers().size() != 8) && patience.again()) after = new_control_plane();
  expect_all_running(*after);
  traffic_->end();
  EXPECT_GT(traffic_->expect_exact(), 0U);
}

}  // namespace
}  // namespace warden::test
