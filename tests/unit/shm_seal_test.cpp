// SPDX-License-Identifier: Apache-2.0
// A client with nothing but the descriptors it was given tries to damage what wardend and others read.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

// Each attempt runs in a child and answers 0 when the kernel refused it.
constexpr int kRefused = 0;
constexpr int kSucceeded = 1;

int refused_if(bool refused) { return refused ? kRefused : kSucceeded; }

class ShmSeals : public ::testing::Test {
 protected:
  void SetUp() override {
    auto writer = DirectoryWriter::create();
    ASSERT_TRUE(writer) << writer.error().message;
    writer_ = std::make_unique<DirectoryWriter>(std::move(*writer));
    size_bytes_ = static_cast<off_t>(writer_->header().total_bytes);
    auto ledger = LedgerReader::create(7);
    ASSERT_TRUE(ledger) << ledger.error().message;
    ledger_ = std::make_unique<LedgerReader>(std::move(*ledger));
  }
  // The worst case: reopened for writing through /proc, which root may.
  [[nodiscard]] static int reopened(int fd) {
    return ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
  }

  std::unique_ptr<DirectoryWriter> writer_;
  std::unique_ptr<LedgerReader> ledger_;
  off_t size_bytes_ = 0;
};

// Proves that the handed-over descriptor cannot be written to, also when it is reopened for writing.
TEST_F(ShmSeals, DirectoryCannotBeWritten) {
  EXPECT_EQ(test::in_child([&] { return refused_if(::pwrite(writer_->reader_fd(), "x", 1, 0) < 0); }), kRefused);
  EXPECT_EQ(test::in_child([&] {
              const int fd = reopened(writer_->reader_fd());
              return refused_if(fd < 0 || ::pwrite(fd, "x", 1, 0) < 0);
            }),
            kRefused);
}

// Proves that nobody gets a writable mapping: not by asking for one, not by mprotect on a readable one.
TEST_F(ShmSeals, DirectoryCannotBeMappedWritable) {
  const auto length = static_cast<std::size_t>(size_bytes_);
  const auto map = [&](int fd, int protection) { return ::mmap(nullptr, length, protection, MAP_SHARED, fd, 0); };
  for (const bool reopen : {false, true}) {
    EXPECT_EQ(test::in_child([&] {
                const int fd = reopen ? reopened(writer_->reader_fd()) : writer_->reader_fd();
                return refused_if(map(fd, PROT_READ | PROT_WRITE) == MAP_FAILED);
              }),
              kRefused);
    EXPECT_EQ(test::in_child([&] {
                const int fd = reopen ? reopened(writer_->reader_fd()) : writer_->reader_fd();
                void* memory = map(fd, PROT_READ);
                if (memory == MAP_FAILED) return 2;
                return refused_if(::mprotect(memory, length, PROT_READ | PROT_WRITE) != 0);
              }),
              kRefused);
  }
}

// Proves that the file keeps its size and its pages: a reader can never get SIGBUS or zeroes.
TEST_F(ShmSeals, DirectoryCannotBeResizedOrPunched) {
  EXPECT_EQ(test::in_child([&] { return refused_if(::ftruncate(reopened(writer_->reader_fd()), 0) != 0); }), kRefused);
  EXPECT_EQ(
      test::in_child([&] { return refused_if(::ftruncate(reopened(writer_->reader_fd()), size_bytes_ * 2) != 0); }),
      kRefused);
  EXPECT_EQ(test::in_child([&] {
              return refused_if(::fallocate(reopened(writer_->reader_fd()), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                            0, size_bytes_) != 0);
            }),
            kRefused);
}

// Proves that the page cache cannot be dropped or replaced from a readable mapping either.
TEST_F(ShmSeals, DirectoryPagesCannotBeRemoved) {
  EXPECT_EQ(test::in_child([&] {
              const auto length = static_cast<std::size_t>(size_bytes_);
              void* memory = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, writer_->reader_fd(), 0);
              if (memory == MAP_FAILED) return 2;
              return refused_if(::madvise(memory, length, MADV_REMOVE) != 0);
            }),
            kRefused);
  EXPECT_EQ(writer_->header().magic, kDirectoryMagic);
}

// Proves that seals are final, so that nobody can add one that would stop wardend or its successor.
TEST_F(ShmSeals, NoSealCanBeAdded) {
  EXPECT_EQ(test::in_child(
                [&] { return refused_if(::fcntl(reopened(writer_->reader_fd()), F_ADD_SEALS, F_SEAL_WRITE) != 0); }),
            kRefused);
  EXPECT_EQ(test::in_child([&] { return refused_if(::fcntl(ledger_->fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0); }),
            kRefused);
}

// Proves that a client cannot resize its ledger under wardend's mapping.
TEST_F(ShmSeals, LedgerCannotBeResized) {
  EXPECT_EQ(test::in_child([&] { return refused_if(::ftruncate(ledger_->fd(), 0) != 0); }), kRefused);
  EXPECT_EQ(test::in_child([&] { return refused_if(::ftruncate(ledger_->fd(), 1 << 20) != 0); }), kRefused);
}

// Proves that a punched ledger only reads as zeroes: wardend survives what a client does to its own.
TEST_F(ShmSeals, PunchedLedgerReadsAsNothingAnswered) {
  auto client = LedgerWriter::open(UniqueFd(::fcntl(ledger_->fd(), F_DUPFD_CLOEXEC, 0)), 7);
  ASSERT_TRUE(client) << client.error().message;
  client->acknowledge(41);
  ASSERT_EQ(ledger_->acknowledged_reset_id(), 41U);
  (void)::fallocate(ledger_->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kLedgerBytes);
  EXPECT_EQ(ledger_->acknowledged_reset_id(), 0U);
}

// Proves that wardend's inherited mapping stays writable in a forked worker although the file is sealed.
TEST_F(ShmSeals, ForkedWorkerWritesThroughTheInheritedMapping) {
  EXPECT_EQ(test::in_child([&] {
              writer_->publish({.kind = EventKind::kWorker, .text = "from the worker"});
              return 0;
            }),
            0);
  EXPECT_EQ(writer_->header().event_count.load(), 1U);
}

}  // namespace
}  // namespace warden::shm
