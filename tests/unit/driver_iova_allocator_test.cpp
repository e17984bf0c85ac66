// SPDX-License-Identifier: Apache-2.0
// What ranges of IOVAs are handed out, against a plain table of pages.
#include "driver/vfio/iova_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace warden::vfio {
namespace {

constexpr std::uint64_t kPage = IovaAllocator::kPageBytes;
constexpr std::uint64_t kFirst = 16 * kPage;
constexpr std::uint64_t kPages = 64;

// Proves that nothing is handed out twice, that all can be had, and that what was given back comes round again.
TEST(IovaAllocator, HandsOutEachPageOnce) {
  IovaAllocator iovas({kFirst}, 4 * kPage);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(iovas.allocate(kPage)->value, kFirst + i * kPage);
  EXPECT_EQ(iovas.allocate(kPage).error().code, Code::kBusy);
  iovas.free({kFirst + kPage});
  iovas.free({kFirst + kPage});  // twice is once
  EXPECT_EQ(iovas.taken_bytes(), 3 * kPage);
  EXPECT_EQ(iovas.allocate(2 * kPage).error().code, Code::kBusy);
  EXPECT_EQ(iovas.allocate(kPage)->value, kFirst + kPage);
}

// Proves that a range given back is not the next one handed out.
TEST(IovaAllocator, UsesARangeAgainLate) {
  IovaAllocator iovas({kFirst}, 4 * kPage);
  const Iova first = *iovas.allocate(kPage);
  iovas.free(first);
  EXPECT_NE(*iovas.allocate(kPage), first);
}

// Proves that sizes and claims that can't be are refused, also where sums would overflow.
TEST(IovaAllocator, RefusesWhatCannotBe) {
  IovaAllocator iovas({kFirst}, 4 * kPage);
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, kPage + 1, ~std::uint64_t{0}}) {
    EXPECT_EQ(iovas.allocate(size).error().code, Code::kInvalidArgument);
  }
  EXPECT_EQ(iovas.allocate(5 * kPage).error().code, Code::kBusy);
  EXPECT_EQ(iovas.allocate(~(kPage - 1)).error().code, Code::kBusy);
  EXPECT_EQ(iovas.claim({kFirst - kPage}, kPage).error().code, Code::kInvalidArgument);
  EXPECT_EQ(iovas.claim({kFirst + 4 * kPage}, kPage).error().code, Code::kInvalidArgument);
  EXPECT_EQ(iovas.claim({kFirst}, ~(kPage - 1)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(iovas.claim({kFirst + 1}, kPage).error().code, Code::kInvalidArgument);
  ASSERT_TRUE(iovas.claim({kFirst + kPage}, 2 * kPage));
  EXPECT_EQ(iovas.claim({kFirst}, 2 * kPage).error().code, Code::kBusy);
  EXPECT_EQ(iovas.claim({kFirst + 2 * kPage}, 2 * kPage).error().code, Code::kBusy);
  EXPECT_TRUE(iovas.claim({kFirst}, kPage));
  EXPECT_TRUE(iovas.claim({kFirst + 3 * kPage}, kPage));
}

// Proves against a table of pages that no two ranges ever overlap, and that a request is refused only when no gap is
// long enough.
TEST(IovaAllocator, AgreesWithATable) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  IovaAllocator iovas({kFirst}, kPages * kPage);
  std::vector<bool> taken(kPages, false);
  std::map<std::uint64_t, std::uint64_t> ranges;  // pages by first page
  const auto longest_gap = [&] {
    std::uint64_t longest = 0;
    std::uint64_t here = 0;
    for (const bool page : taken) longest = std::max(longest, here = page ? 0 : here + 1);
    return longest;
  };
  for (int step = 0; step < 20'000 && !testing::Test::HasFailure(); ++step) {
    const std::uint64_t pages = 1 + random() % 9;
    if (random() % 3 != 0) {
      const auto got = iovas.allocate(pages * kPage);
      ASSERT_EQ(got.has_value(), longest_gap() >= pages);
      if (!got) continue;
      const std::uint64_t at = (got->value - kFirst) / kPage;
      for (std::uint64_t page = at; page < at + pages; ++page) {
        ASSERT_LT(page, kPages);
        ASSERT_FALSE(taken[page]);
        taken[page] = true;
      }
      ranges.emplace(at, pages);
    } else if (!ranges.empty()) {
      const auto which = std::next(ranges.begin(), static_cast<std::ptrdiff_t>(random() % ranges.size()));
      iovas.free({kFirst + which->first * kPage});
      for (std::uint64_t page = which->first; page < which->first + which->second; ++page) taken[page] = false;
      ranges.erase(which);
    }
  }
}

}  // namespace
}  // namespace warden::vfio
