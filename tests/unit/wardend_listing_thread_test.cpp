// SPDX-License-Identifier: Apache-2.0
// The thread that reads listings: whoever asks goes on at once, answers come in order, too many are refused.
#include "tools/wardend/listing_thread.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

namespace warden::daemon {
namespace {

// Holds the thread up until it is let go.
struct Gate {
  std::promise<void> reached;
  std::promise<void> opened;
  void pass() {
    reached.set_value();
    opened.get_future().wait();
  }
};

TEST(ListingThread, OneAfterTheOtherBesideTheCaller) {
  ListingThread thread;
  Gate gate;
  std::vector<int> done;
  std::promise<void> last;
  ASSERT_TRUE(thread.post([&] { gate.pass(); }));
  for (const int number : {1, 2, 3}) {
    ASSERT_TRUE(thread.post([&, number] {
      done.push_back(number);
      if (number == 3) last.set_value();
    }));
  }
  gate.reached.get_future().wait();
  EXPECT_TRUE(done.empty()) << "the caller is here, and the first not done";
  gate.opened.set_value();
  last.get_future().wait();
  EXPECT_EQ(done, (std::vector{1, 2, 3}));
}

TEST(ListingThread, TooManyAreRefusedAndTheRestIsDroppedAtTheEnd) {
  Gate gate;
  auto kept = std::make_shared<int>(0);
  std::size_t taken = 0;
  {
    ListingThread thread;
    ASSERT_TRUE(thread.post([&] { gate.pass(); }));
    gate.reached.get_future().wait();
    while (taken < 10'000 && thread.post([kept] { ++*kept; })) ++taken;
    EXPECT_EQ(taken, 256U);
    std::thread opener([&] { gate.opened.set_value(); });
    opener.join();
  }
  EXPECT_EQ(kept.use_count(), 1) << "nothing waits any more";
}

}  // namespace
}  // namespace warden::daemon
