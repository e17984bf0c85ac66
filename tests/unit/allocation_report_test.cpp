// SPDX-License-Identifier: Apache-2.0
// The words that people and scripts read: the report of what remains, and the lines about the dead.
#include "tools/wardend/allocation_report.h"

#include <gtest/gtest.h>

#include "tools/wardend/reaping_log.h"

namespace warden::daemon {
namespace {

TEST(AllocationReport, Empty) {
  EXPECT_EQ(format_remaining({}),
            "╔══════════════════════════════════════════════════════════════╗\n"
            "║           REMAINING ALLOCATED BUFFERS                        ║\n"
            "╚══════════════════════════════════════════════════════════════╝\n"
            "Total tracked allocations: 0\n"
            "\n"
            "✓ No buffers remaining - perfect cleanup!\n");
}

TEST(AllocationReport, ByProcessDeviceAndKind) {
  const std::vector<RemainingBuffer> buffers = {
      {.pid = 20, .own_pid = 1, .name = "python3", .device = 1, .kind = "L1", .bytes = 1 << 20},
      {.pid = 20, .own_pid = 1, .name = "python3", .device = 0, .kind = "DRAM", .bytes = 3 << 20},
      {.pid = 9, .own_pid = 9, .name = "pytest", .device = 0, .kind = "DRAM", .bytes = 1 << 19},
      {.pid = 20, .own_pid = 1, .name = "python3", .device = 0, .kind = "DRAM", .bytes = 1 << 20},
  };
  const std::string text = format_remaining(buffers);
  EXPECT_EQ(text.substr(text.find("Total")),
            "Total tracked allocations: 4\n"
            "Total size: 5.50 MB\n"
            "\n"
            "PID 9 (pytest): 1 buffers, 0.50 MB\n"
            "  Device 0:\n"
            "    DRAM: 1 buffers, 0.50 MB\n"
            "\n"
            "PID 20 (python3), 1 to itself: 3 buffers, 5.00 MB\n"
            "  Device 0:\n"
            "    DRAM: 2 buffers, 4.00 MB\n"
            "  Device 1:\n"
            "    L1: 1 buffers, 1.00 MB\n");
}

// Sums that come added up already count for as many as they are.
TEST(AllocationReport, CountsSums) {
  const std::vector<RemainingBuffer> buffers = {
      {.pid = 9, .name = "pytest", .kind = "L1", .bytes = 1 << 20, .count = 380},
      {.pid = 9, .name = "pytest", .kind = "L1", .bytes = 1 << 20}};
  EXPECT_NE(format_remaining(buffers).find("    L1: 381 buffers, 2.00 MB\n"), std::string::npos);
}

TEST(ReapingLog, Lines) {
  EXPECT_TRUE(reaping_lines({}).empty());
  const std::vector<ReapedProcess> reaped = {{12345, "python3", 12345, 381, 423457915}, {7, "", 1, 1, 0}};
  EXPECT_EQ(reaping_lines(reaped), (std::vector<std::string>{
                                       "⚠️  Detected dead processes, cleaning up orphaned buffers...",
                                       "   PID 12345 is dead, removing its buffers... (python3)",
                                       "   ✓ Removed 381 buffers (403.84 MB) from PID 12345",
                                       "   PID 7 is dead, removing its buffers... (1 to itself)",
                                       "   ✓ Removed 1 buffers (0.00 MB) from PID 7",
                                   }));
}

}  // namespace
}  // namespace warden::daemon
