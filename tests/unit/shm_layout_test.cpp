// SPDX-License-Identifier: Apache-2.0
// The layouts as other programs see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>

#include "shm/directory.h"
#include "shm/ledger_layout.h"
#include "shm/message.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

std::string output_of_plain_reader(int directory_fd) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return "no pipe";
  test::Child child([&] {
    ::dup2(ends[1], STDOUT_FILENO);
    const int fd = ::dup(directory_fd);  // without CLOEXEC
    const std::string argument = std::to_string(fd);
    ::execl(WARDEN_PLAIN_READER, WARDEN_PLAIN_READER, argument.c_str(), nullptr);
    return 127;
  });
  ::close(ends[1]);
  std::string text;
  std::array<char, 512> buffer{};
  for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  return text + "exit " + std::to_string(child.wait());
}

// Proves that a C program that knows only the documented offsets reads devices and events.
TEST(ShmLayout, ProgramWithoutOurHeadersReadsTheDirectory) {
  auto writer = DirectoryWriter::create();
  ASSERT_TRUE(writer) << writer.error().message;
  std::string_view("vfio-user:/x").copy(writer->device(0).name, sizeof(DeviceRecord::name));
  writer->device(0).state.store(static_cast<std::uint32_t>(DeviceState::kReady));
  writer->publish({.kind = EventKind::kAnnounce, .reset_id = 41, .text = "first"});
  writer->publish({.kind = EventKind::kResult, .reset_id = 41, .text = "second"});
  EXPECT_EQ(output_of_plain_reader(writer->reader_fd()), "vfio-user:/x\n41 first\n41 second\nexit 0");
}

// Proves that the offsets other programs rely on have not moved.
TEST(ShmLayout, OffsetsAreFixed) {
  EXPECT_EQ(offsetof(DirectoryHeader, events), 80U);
  EXPECT_EQ(offsetof(DirectoryHeader, event_count), 136U);
  EXPECT_EQ(offsetof(DirectoryHeader, active_reset_id), 144U);
  EXPECT_EQ(offsetof(DirectoryHeader, worker_starts), 164U);
  EXPECT_EQ(offsetof(DeviceRecord, name), 16U);
  EXPECT_EQ(offsetof(SessionRecord, name), 32U);
  EXPECT_EQ(offsetof(ListenerRecord, owed_reset_id), 16U);
  EXPECT_EQ(offsetof(EventRecord, reset_id), 16U);
  EXPECT_EQ(offsetof(EventRecord, session_id), 64U);
  EXPECT_EQ(offsetof(LedgerHeader, session_id), 24U);
  EXPECT_EQ(offsetof(LedgerHeader, acknowledged_reset_id), 64U);
  EXPECT_EQ(offsetof(LedgerHeader, records_begun), 128U);
  EXPECT_EQ(kRecordsOffsetBytes, 8192U + 64U * 33'280U);
  EXPECT_EQ(offsetof(TileAccess, x), 24U);
  EXPECT_EQ(offsetof(ResetRequest, timeout_ms), 8U);
}

// Proves that the magic words read as text in a dump.
TEST(ShmLayout, MagicsAreText) {
  const auto text_of = [](std::uint64_t magic) {
    return std::string(reinterpret_cast<const char*>(&magic), sizeof(magic));
  };
  EXPECT_EQ(text_of(kDirectoryMagic), "WARDNDIR");
  EXPECT_EQ(text_of(kLedgerMagic), "WARDLDEG");
  EXPECT_EQ(text_of(kDoorbellMagic), "WARDBELL");
}

}  // namespace
}  // namespace warden::shm
