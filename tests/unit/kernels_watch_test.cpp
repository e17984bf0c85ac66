// SPDX-License-Identifier: Apache-2.0
// What wakes a router. With telemetry it looks at everything at each heartbeat, and what it had missed would only come
// late; these have none, and would sleep for ever.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/unit/kernels_fabric.h"

namespace warden::kernels {
namespace {

using std::chrono::milliseconds;
using testing::Generator;
using testing::kEastChannel;
using testing::kWestChannel;
using testing::Router;
using testing::Row;
using testing::Sink;

class WithoutHeartbeat : public ::testing::Test {
 protected:
  WithoutHeartbeat() {
    for (Router* router : {&r0_, &r1w_, &r1e_, &r2_}) router->start(1, RouterCommand::kRun, router_image(false));
    sink_.emplace(row_, 2, std::vector{r2_});
    middle_.emplace(row_, 1, std::vector{r1w_});
  }
  void sleep() {
    row_.run(milliseconds(5));
    EXPECT_TRUE(row_.all_sleep());
  }
  bool all_arrive(const Generator& generator, std::uint32_t packets) {
    return row_.run_until([&] { return sink_->has_all(generator, packets); });
  }
  Row row_{3};
  Router r0_{row_, 0, kEastChannel};
  Router r1w_{row_, 1, kWestChannel};
  Router r1e_{row_, 1, kEastChannel};
  Router r2_{row_, 2, kWestChannel};
  std::optional<Sink> sink_;
  std::optional<Sink> middle_;
};

TEST_F(WithoutHeartbeat, PacketsAndRoom) {
  Generator generator(row_, r0_, {.destination = 2, .packets = 2000});
  for (int round = 0; round < 5; ++round) {
    Router& resting = round % 2 == 0 ? r1e_ : r2_;
    ASSERT_TRUE(resting.follows(RouterCommand::kPause, RouterState::kPaused));
    sleep();
    EXPECT_TRUE(resting.answers_probe());
    ASSERT_TRUE(resting.follows(RouterCommand::kRun, RouterState::kRunning));
  }
  EXPECT_TRUE(all_arrive(generator, 2000));
}

TEST_F(WithoutHeartbeat, AnOpenedDestination) {
  r0_.admit(2, kAdmitHeld);
  Generator generator(row_, r0_, {.destination = 2, .packets = 1});
  sleep();
  r0_.admit(2, kAdmitOpen);
  EXPECT_TRUE(all_arrive(generator, 1));
}

TEST_F(WithoutHeartbeat, AnOpenedLane) {
  ASSERT_TRUE(r0_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator generator(row_, r0_, {.destination = 2, .packets = 50});
  row_.run(milliseconds(1));
  const std::size_t kind = offsetof(RouterBlock, lanes[1].kind);
  r0_.set_field(kind, static_cast<std::uint32_t>(LaneKind::kUnused));
  ASSERT_TRUE(r0_.follows(RouterCommand::kRun, RouterState::kRunning));
  sleep();
  r0_.set_field(kind, static_cast<std::uint32_t>(LaneKind::kWorker));
  EXPECT_TRUE(all_arrive(generator, 50));
}

TEST_F(WithoutHeartbeat, ASinkThatGoesOn) {
  ASSERT_TRUE(row_.freeze(2, testing::kSinkTile));
  Generator generator(row_, r0_, {.destination = 2, .packets = 50});
  sleep();
  ASSERT_TRUE(row_.thaw(2, testing::kSinkTile));
  EXPECT_TRUE(all_arrive(generator, 50));
}

TEST_F(WithoutHeartbeat, ASinkThatIsTakenAway) {
  ASSERT_TRUE(row_.freeze(2, testing::kSinkTile));
  Generator generator(row_, r0_, {.destination = 2, .packets = 50});
  sleep();
  r2_.close_delivery(0);
  EXPECT_TRUE(row_.run_until([&] { return r2_.block().counters.undeliverable == 50 - kSinkSlots; }));
}

TEST_F(WithoutHeartbeat, AnotherRoute) {
  ASSERT_TRUE(r1e_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator generator(row_, r0_, {.destination = 2, .packets = 50});
  sleep();
  r1w_.forward(2, kForwardNowhere);
  EXPECT_TRUE(row_.run_until([&] { return r1w_.block().counters.unreachable == 50 - kLaneSlots; }));
}

TEST_F(WithoutHeartbeat, ALinkThatIsUpAgain) {
  row_.set_plugged(0, false);
  Generator generator(row_, r0_, {.destination = 2, .packets = 50});
  sleep();
  row_.set_plugged(0, true);
  EXPECT_TRUE(all_arrive(generator, 50));
  row_.set_plugged(0, false);
  for (Router* router : {&r0_, &r1w_}) {
    router->set_field(offsetof(RouterBlock, configuration.link_session), 2);
    router->set_field(offsetof(RouterBlock, configuration.retrain_flags), kRetrainPhysical);
    ASSERT_TRUE(router->follows(RouterCommand::kRetrain, RouterState::kRetraining));
  }
  sleep();
  row_.set_plugged(0, true);
  EXPECT_TRUE(
      row_.run_until([&] { return r0_.state() == RouterState::kPaused && r1w_.state() == RouterState::kPaused; }));
}

}  // namespace
}  // namespace warden::kernels
