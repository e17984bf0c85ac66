// SPDX-License-Identifier: Apache-2.0
// Random bytes where a peer may put them. WARDEN_FUZZ_SECONDS (default 5 for each test) and WARDEN_FUZZ_SEED steer it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <random>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/socket.h"

namespace warden::shm {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class ShmFuzz : public ::testing::Test {
 protected:
  void SetUp() override { RecordProperty("seed", std::to_string(seed_)); }
  template <typename Step>
  void for_a_while(Step step) {
    SCOPED_TRACE("WARDEN_FUZZ_SEED=" + std::to_string(seed_));
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(number_from("WARDEN_FUZZ_SECONDS", 5));
    while (std::chrono::steady_clock::now() < end && !HasFailure()) step();
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  std::uint64_t seed_ = number_from("WARDEN_FUZZ_SEED", std::random_device{}());
  std::mt19937_64 random_{seed_};
};

// Proves that no damage to a sealed directory makes a reader crash or read outside it: it is refused, or every
// question has an answer.
TEST_F(ShmFuzz, DamagedDirectory) {
  auto writer = DirectoryWriter::create();
  ASSERT_TRUE(writer);
  for (std::uint64_t i = 0; i < kEventCapacity + 7; ++i) writer->publish({.kind = EventKind::kPhase, .text = "event"});
  const auto* start = reinterpret_cast<const char*>(&writer->header());
  const std::vector<char> good(start, start + writer->header().total_bytes);
  for_a_while([&] {
    std::vector<char> bytes = good;
    for (std::uint64_t i = below(8) + 1; i > 0; --i) {
      // Most damage where it may mislead most: in the header.
      const std::uint64_t offset = below(4) != 0 ? below(sizeof(DirectoryHeader)) : below(bytes.size());
      bytes[offset] = static_cast<char>(random_());
    }
    auto memory = Memory::create("fuzz", bytes.size());
    ASSERT_TRUE(memory);
    ASSERT_EQ(::pwrite(memory->fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    ASSERT_TRUE(memory->seal(F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    const auto reader = DirectoryReader::open(UniqueFd(::fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0)));
    if (!reader) return;
    const std::uint64_t count = reader->event_count();
    for (const std::uint64_t number : {std::uint64_t{0}, count - 1, count, count / 2, random_()}) {
      const auto event = reader->event(number);
      EXPECT_TRUE(!event || !*event || (*event)->text.size() <= sizeof(EventRecord::text));
    }
    (void)reader->device(kDeviceCapacity - 1).state.load();
    (void)reader->listener(kSessionCapacity - 1).owed_reset_id.load();
  });
}

// Proves that no packet makes the receiver crash, block or keep a descriptor: it is a packet or an error.
TEST_F(ShmFuzz, RandomPackets) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  for_a_while([&] {
    std::vector<char> bytes(below(below(2) != 0 ? 100 : kMaxMessageBytes + 100) + 1);
    for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 200); ++i) bytes[i] = static_cast<char>(random_());
    const Header header = request_header(static_cast<MessageKind>(below(26)), 1);
    if (below(2) != 0) std::memcpy(bytes.data(), &header, std::min(bytes.size(), sizeof(header)));
    std::array<int, 8> fds{};
    const std::size_t fd_count = below(fds.size() + 1);
    iovec part{bytes.data(), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(fds))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd_count != 0) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
      std::memcpy(CMSG_DATA(rights), fds.data(), fd_count * sizeof(int));
    }
    ASSERT_EQ(::sendmsg(theirs.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    {
      const auto packet = receive_packet(ours.get(), std::chrono::milliseconds(0));
      if (packet) {
        EXPECT_EQ(packet->body.size(), bytes.size() - sizeof(Header));
      } else {
        EXPECT_EQ(packet.error().code, Code::kProtocol);
      }
    }
    const int fd = ::dup(0);
    EXPECT_EQ(fd, lowest_free) << "a descriptor stayed open";
    ::close(fd);
  });
}

// Proves that whatever a client writes over its ledger and the doorbell, wardend's reads stay plain numbers.
TEST_F(ShmFuzz, ScribbledLedgerAndDoorbell) {
  const auto ledger = LedgerReader::create(7);
  const auto doorbell = DoorbellMemory::create();
  ASSERT_TRUE(ledger && doorbell);
  for_a_while([&] {
    const std::uint64_t word = random_();
    const auto offset = static_cast<off_t>(below(kDoorbellBytes / 8) * 8);
    ASSERT_EQ(::pwrite(ledger->fd(), &word, sizeof(word), offset), 8);
    ASSERT_EQ(::pwrite(doorbell->fd(), &word, sizeof(word), offset), 8);
    const bool is_answer = offset == offsetof(LedgerHeader, acknowledged_reset_id);
    EXPECT_TRUE(!is_answer || ledger->acknowledged_reset_id() == word);
    doorbell->wait(doorbell->count(), std::chrono::nanoseconds(1));
    const auto adopted = LedgerReader::adopt(UniqueFd(::fcntl(ledger->fd(), F_DUPFD_CLOEXEC, 0)));
    EXPECT_TRUE(adopted || adopted.error().code == Code::kProtocol);
  });
}

// Proves that whatever stands in an allocation table, every word of it random, sums and records come out checked, and
// that the reader makes no page of it: where more is claimed than was ever written, it reads nothing.
TEST_F(ShmFuzz, HostileAllocationTable) {
  for_a_while([&] {
    const auto ledger = LedgerReader::create(7);
    ASSERT_TRUE(ledger);
    const auto scribble = [&](std::size_t offset_bytes, std::size_t len_bytes) {
      std::vector<std::uint64_t> words(len_bytes / sizeof(std::uint64_t));
      for (std::uint64_t& word : words) word = below(3) == 0 ? below(1 << 20) : random_();
      ASSERT_EQ(::pwrite(ledger->fd(), words.data(), len_bytes, static_cast<off_t>(offset_bytes)),
                static_cast<ssize_t>(len_bytes));
    };
    scribble(offsetof(LedgerHeader, acknowledged_reset_id), kPageBytes - offsetof(LedgerHeader, acknowledged_reset_id));
    scribble(kShardsOffsetBytes, kShardCount * sizeof(AllocationShard));
    if (below(2) != 0) scribble(kBlocksOffsetBytes, std::size_t{kShardCount} * sizeof(AllocationShardBlock));
    scribble(kRecordsOffsetBytes + below(kAllocationRecords / 64) * kPageBytes, kPageBytes);
    scribble(kRecordsOffsetBytes, kPageBytes);
    struct stat before{};
    struct stat after{};
    ASSERT_EQ(::fstat(ledger->fd(), &before), 0);
    const auto totals = ledger->allocations().totals();
    ASSERT_TRUE(totals) << totals.error().message;
    for (const auto& device : totals->cells) {
      for (const AllocationSum& sum : device) {
        EXPECT_LE(sum.count, kAllocationRecords);
        EXPECT_TRUE(sum.count > 0 || sum.bytes == 0);
      }
    }
    const auto summary = ledger->allocations().for_each_live([](const Allocation& one) {
      EXPECT_LT(one.record, kAllocationRecords);
      EXPECT_LT(one.device, kDeviceCapacity);
      EXPECT_LT(static_cast<std::uint32_t>(one.kind), kAllocationKinds);
      EXPECT_LT(static_cast<std::uint32_t>(one.kernel_kind), kKernelKinds);
      for (const char letter : one.label()) EXPECT_TRUE(static_cast<unsigned char>(letter) >= ' ' && letter != '\x7f');
    });
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(summary->moving, 0U);
    ASSERT_EQ(::fstat(ledger->fd(), &after), 0);
    EXPECT_EQ(after.st_blocks, before.st_blocks) << "reading made pages";
  });
}

}  // namespace
}  // namespace warden::shm
