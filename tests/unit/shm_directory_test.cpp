// SPDX-License-Identifier: Apache-2.0
// The directory from both sides: events, lapping, a writer killed between two words, and memory that is not one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "shm/directory.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

constexpr int kDirectorySeals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

class ShmDirectory : public ::testing::Test {
 protected:
  static DirectoryWriter make_writer() {
    auto writer = DirectoryWriter::create();
    if (!writer) throw std::runtime_error(writer.error().message);
    return std::move(*writer);
  }
  static DirectoryReader reader_of(int fd) {
    auto reader = DirectoryReader::open(UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)));
    if (!reader) throw std::runtime_error(reader.error().message);
    return std::move(*reader);
  }

  DirectoryWriter writer_ = make_writer();
  DirectoryReader reader_ = reader_of(writer_.reader_fd());
};

// Proves that every field of an event arrives, and that text too long for the record is cut and still terminated.
TEST_F(ShmDirectory, EventArrivesWhole) {
  const std::string text(500, 'x');
  writer_.publish({.kind = EventKind::kExtended,
                   .reset_id = 41,
                   .device_mask = 5,
                   .deadline_ns = 6,
                   .value = 7,
                   .phase = ResetPhase::kAnnounced,
                   .result = ResetResult::kAborted,
                   .pid = 8,
                   .session_id = 9,
                   .text = text});
  const auto event = reader_.event(0);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->kind, EventKind::kExtended);
  EXPECT_EQ((*event)->reset_id, 41U);
  EXPECT_EQ((*event)->device_mask, 5U);
  EXPECT_EQ((*event)->deadline_ns, 6U);
  EXPECT_EQ((*event)->value, 7U);
  EXPECT_EQ((*event)->phase, ResetPhase::kAnnounced);
  EXPECT_EQ((*event)->result, ResetResult::kAborted);
  EXPECT_EQ((*event)->pid, 8);
  EXPECT_EQ((*event)->session_id, 9U);
  EXPECT_EQ((*event)->text, std::string(sizeof(EventRecord::text) - 1, 'x'));
  EXPECT_FALSE(*reader_.event(1));
}

// Proves that a reader whom the ring has overtaken is told, and that the newest kEventCapacity events are all there.
TEST_F(ShmDirectory, LappedReaderNotices) {
  for (std::uint64_t i = 0; i < kEventCapacity + 3; ++i) writer_.publish({.kind = EventKind::kPhase, .value = i});
  const auto lost = reader_.event(2);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kStale);
  for (std::uint64_t number = 3; number < kEventCapacity + 3; ++number) {
    const auto event = reader_.event(number);
    ASSERT_TRUE(event && *event) << number;
    EXPECT_EQ((*event)->value, number);
  }
}

// Proves that a copy is never a mixture of two events, however fast the ring goes round meanwhile.
TEST_F(ShmDirectory, CopiesAreNeverTorn) {
  std::atomic<bool> done{false};
  std::thread publisher([&] {
    for (std::uint64_t i = 0; i < 60 * kEventCapacity; ++i) {
      writer_.publish({.kind = EventKind::kPhase, .reset_id = i, .value = i, .text = std::to_string(i)});
    }
    done.store(true);
  });
  std::uint64_t whole = 0;
  while (!done.load()) {
    const std::uint64_t count = reader_.event_count();
    // The oldest there is: the one that is about to be overwritten.
    const std::uint64_t number = count > kEventCapacity ? count - kEventCapacity : 0;
    const auto event = reader_.event(number);
    if (!event || !*event) continue;
    ++whole;
    EXPECT_EQ((*event)->reset_id, number);
    EXPECT_EQ((*event)->value, number);
    EXPECT_EQ((*event)->text, std::to_string(number));
  }
  publisher.join();
  EXPECT_GT(whole, 0U);
}

// Proves that a writer killed at any point between two words of publish() leaves something its successor repairs:
// the event is there whole or not at all, and publishing goes on.
TEST_F(ShmDirectory, RepairAfterKillBetweenWords) {
  const auto slot_of = [&](std::uint64_t number) -> EventRecord& {
    auto* start = reinterpret_cast<std::byte*>(&writer_.header());
    return reinterpret_cast<EventRecord*>(start + writer_.header().events.offset_bytes)[number % kEventCapacity];
  };
  for (std::uint64_t i = 0; i < kEventCapacity; ++i) writer_.publish({.kind = EventKind::kPhase, .value = i});
  const std::uint64_t next = reader_.event_count();
  const std::uint32_t generation = writer_.header().generation.load();

  // Killed after the old sequence was taken away: the old event is gone, the new one is not there.
  slot_of(next).sequence.store(0);
  writer_.repair();
  EXPECT_EQ(reader_.event_count(), next);
  EXPECT_NE(writer_.header().generation.load(), generation) << "waiters must look again";

  // Killed after the new sequence was stored: the event is whole, so it counts.
  slot_of(next).sequence.store(next + 1);
  writer_.repair();
  EXPECT_EQ(reader_.event_count(), next + 1);
  EXPECT_TRUE(*reader_.event(next));

  writer_.publish({.kind = EventKind::kPhase, .value = 77});
  const auto event = reader_.event(next + 1);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->value, 77U);
}

// Proves that the inherited mapping goes on after the first writer was killed with SIGKILL in the middle of its work.
TEST_F(ShmDirectory, SuccessorGoesOnAfterRealKill) {
  {
    test::Child worker([&]() -> int {
      for (;;) writer_.publish({.kind = EventKind::kPhase, .text = "from the first worker"});
    });
    ASSERT_TRUE(test::eventually([&] { return reader_.event_count() > 3 * kEventCapacity; }));
  }  // killed here, at any instruction
  writer_.repair();
  const std::uint64_t number = reader_.event_count();
  writer_.publish({.kind = EventKind::kWorker, .text = "from the second"});
  const auto event = reader_.event(number);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->text, "from the second");
}

// Proves that a waiter in another process is woken by an event, and that listeners sleep over what is not for them.
TEST_F(ShmDirectory, WaitEndsWithTheEvent) {
  test::Child listener([&] {
    // Far longer than the test may take: only a wake ends it.
    reader_.wait_for_event(1, std::chrono::minutes(10), kWakeListeners);
    return reader_.event_count() == 2 ? 0 : 1;
  });
  writer_.publish({.kind = EventKind::kAcknowledged});
  writer_.publish({.kind = EventKind::kAnnounce});
  EXPECT_EQ(listener.wait(), 0);
}

// Proves that events told together are all there in order, and that waiters are woken once for all of them: by the
// kind that concerns most.
TEST_F(ShmDirectory, ManyEventsMoveTheGenerationOnce) {
  test::Child listener([&] {
    reader_.wait_for_event(2, std::chrono::minutes(10), kWakeListeners);
    return reader_.event_count() == 3 ? 0 : 1;
  });
  const std::uint32_t generation = reader_.header().generation.load();
  const EventDraft drafts[] = {{.kind = EventKind::kAcknowledged, .value = 1},
                               {.kind = EventKind::kResult, .value = 2},
                               {.kind = EventKind::kAcknowledged, .value = 3}};
  writer_.publish(drafts);
  EXPECT_EQ(reader_.header().generation.load(), generation + 1);
  EXPECT_EQ(listener.wait(), 0);
  for (std::uint64_t number = 0; number < 3; ++number) {
    const auto event = reader_.event(number);
    ASSERT_TRUE(event && *event);
    EXPECT_EQ((*event)->value, number + 1);
  }
  writer_.publish(std::span<const EventDraft>());
  EXPECT_EQ(reader_.header().generation.load(), generation + 1);
}

// Proves that all listeners of a full house can answer one reset, and be told of, without the ring going round.
TEST_F(ShmDirectory, AFullHouseOfAnswersFits) {
  const std::vector<EventDraft> answers(kSessionCapacity, EventDraft{.kind = EventKind::kAcknowledged});
  writer_.publish({.kind = EventKind::kAnnounce, .reset_id = 7});
  writer_.publish(answers);
  writer_.publish({.kind = EventKind::kResult, .reset_id = 7});
  const auto announced = reader_.event(0);
  ASSERT_TRUE(announced && *announced);
  EXPECT_EQ((*announced)->reset_id, 7U);
}

// A directory that is wrong in one way must be refused with kProtocol.
class ShmForgedDirectory : public ::testing::Test {
 protected:
  // A writable copy of a good directory.
  void SetUp() override {
    auto writer = DirectoryWriter::create();
    ASSERT_TRUE(writer);
    const auto* start = reinterpret_cast<const char*>(&writer->header());
    bytes_.assign(start, start + writer->header().total_bytes);
  }
  DirectoryHeader& header() { return *reinterpret_cast<DirectoryHeader*>(bytes_.data()); }

  Result<DirectoryReader> open_copy(int seals = kDirectorySeals) {
    auto memory = Memory::create("forged", bytes_.size());
    EXPECT_TRUE(memory);
    EXPECT_EQ(::pwrite(memory->fd(), bytes_.data(), bytes_.size(), 0), static_cast<ssize_t>(bytes_.size()));
    EXPECT_TRUE(memory->seal(seals));
    return DirectoryReader::open(UniqueFd(::fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0)));
  }
  void expect_refused(int seals = kDirectorySeals) {
    const auto reader = open_copy(seals);
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code, Code::kProtocol) << reader.error().message;
  }
  std::vector<char> bytes_;
};

// Proves that the copy itself is good, so that each refusal below has the reason that its test says.
TEST_F(ShmForgedDirectory, UnchangedCopyIsAccepted) { EXPECT_TRUE(open_copy()); }

// Proves that each missing seal is noticed: without them the writer could shrink it under the reader.
TEST_F(ShmForgedDirectory, MissingSealsAreRefused) {
  expect_refused(0);
  for (const int missing : {F_SEAL_FUTURE_WRITE, F_SEAL_SHRINK, F_SEAL_GROW})
    expect_refused(kDirectorySeals & ~missing);
}

// Proves that a file of another version, magic or size is refused.
TEST_F(ShmForgedDirectory, WrongHeaderIsRefused) {
  header().magic ^= 1;
  expect_refused();
  header().magic ^= 1;
  header().version += 1;
  expect_refused();
  header().version -= 1;
  header().total_bytes += 4096;
  expect_refused();
}

// Proves that a table that is misplaced, misaligned, outside, overflowing or of other records is refused.
TEST_F(ShmForgedDirectory, WrongTablesAreRefused) {
  for (TablePlace DirectoryHeader::* table :
       {&DirectoryHeader::devices, &DirectoryHeader::sessions, &DirectoryHeader::listeners, &DirectoryHeader::events}) {
    const TablePlace good = header().*table;
    const std::uint64_t total_bytes = header().total_bytes;
    for (const std::uint64_t offset_bytes : {std::uint64_t{0}, good.offset_bytes + 4, total_bytes - 64, total_bytes,
                                             ~std::uint64_t{0} - 63, std::uint64_t{1} << 63}) {
      header().*table = {.offset_bytes = offset_bytes, .count = good.count, .record_bytes = good.record_bytes};
      expect_refused();
    }
    (header().*table) = {good.offset_bytes, good.count + 1, good.record_bytes};
    expect_refused();
    (header().*table) = {good.offset_bytes, good.count, good.record_bytes * 2};
    expect_refused();
    header().*table = good;
  }
}

// Proves that what is no memfd at all, or too small for a header, is refused and not mapped.
TEST_F(ShmForgedDirectory, OtherFilesAreRefused) {
  EXPECT_FALSE(DirectoryReader::open(UniqueFd(::open("/dev/zero", O_RDONLY | O_CLOEXEC))));
  EXPECT_FALSE(DirectoryReader::open(UniqueFd()));
  bytes_.resize(64);
  expect_refused();
}

}  // namespace
}  // namespace warden::shm
