// SPDX-License-Identifier: Apache-2.0
// The programs under the names that users of the allocation server know.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/support/allocation_peer.h"

namespace warden::test {
namespace {

using testing::HasSubstr;

std::string bin(const std::string& name) { return std::string(WARDEN_BIN_DIR) + "/" + name; }

std::string output_of(const std::vector<std::string>& command) {
  Process program(command);
  EXPECT_EQ(program.wait(), 0) << program.output();
  return program.out();
}

// Both clients of DUMP_REMAINING print the same, with and without buffers.
TEST(AllocationPrograms, BothDumpsPrintTheSame) {
  const AllocationHost host;
  const auto both = [&] {
    std::string report = output_of({bin("dump_remaining_buffers"), host.path()});
    EXPECT_EQ(output_of({"python3", bin("dump_remaining_buffers.py"), host.path()}), report);
    return report;
  };
  EXPECT_THAT(both(), HasSubstr("║           REMAINING ALLOCATED BUFFERS                        ║\n"));
  EXPECT_THAT(both(), HasSubstr("Total tracked allocations: 0\n\n✓ No buffers remaining - perfect cleanup!\n"));
  AllocationPeer peer(host.path(), 112);
  for (std::uint8_t kind = 0; kind < 5; ++kind) {
    peer.send({.type = kAlloc,
               .device = kind % 2,
               .size = 5 << 20,
               .buffer_type = kind,
               .process_id = 4242,
               .buffer_id = kind});
  }
  for (int i = 0; i < 2; ++i) peer.send({.type = kCbAlloc, .size = 1 << 20, .process_id = 4242, .buffer_id = 9});
  const std::string report = both();
  EXPECT_THAT(report, HasSubstr("Total tracked allocations: 6\nTotal size: 27.00 MB\n"));
  EXPECT_THAT(report, HasSubstr("\nPID " + std::to_string(::getpid()) + " (test_e2e_alloca), 4242 to itself: 6"));
  EXPECT_THAT(report, HasSubstr("  Device 0:\n    CB: 1 buffers, 2.00 MB\n    DRAM: 1 buffers, 5.00 MB\n"));
}

// Without a server both say so in one line, and fail.
TEST(AllocationPrograms, NobodyServes) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{bin("dump_remaining_buffers")}, {"python3", bin("dump_remaining_buffers.py")}}) {
    std::vector<std::string> line = command;
    line.emplace_back("/tmp/there-is-no-such.sock");
    Process program(line);
    EXPECT_EQ(program.wait(), 1);
    EXPECT_EQ(std::ranges::count(program.err(), '\n'), 1) << program.err();
    EXPECT_THAT(program.err(), HasSubstr("allocation_server_poc"));
  }
}

// The server under its old name: it says that it cleans up, serves, ends with Ctrl+C, and leaves nothing.
TEST(AllocationPrograms, ServerAlone) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/a.sock";
  Process server({bin("allocation_server_poc"), path});
  ASSERT_TRUE(server.wait_for_line("🔄 Background cleanup started")) << server.output();
  AllocationPeer peer(path, 144);
  peer.send({.type = kAlloc, .size = 1, .buffer_id = 1});
  EXPECT_EQ(peer.dump().records.size(), 1U);
  server.signal(SIGINT);
  EXPECT_EQ(server.wait(), 0) << server.output();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace warden::test
