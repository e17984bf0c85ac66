// SPDX-License-Identifier: Apache-2.0
// Whole messages out of a stream in any pieces, in both sizes, also when the reader is another one each time.
#include "tools/wardend/allocation_connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "tests/support/allocation_peer.h"

namespace warden::daemon {
namespace {

using test::allocation_message;
using Arrival = AllocationConnection::Arrival;

class Stream {
 public:
  Stream() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    peer_.reset(ends[0]);
    connection_.emplace(1, 0, row_, UniqueFd(ends[1]));
  }
  void send(const std::string& bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  // Everything that is there, by buffer id; nothing more when an error came.
  void read_all(bool another_reader_each_time = false) {
    for (;;) {
      if (another_reader_each_time) replace();
      const auto arrival = connection_->fetch(false);
      if (!arrival) {
        error_ = arrival.error().message;
        return;
      }
      undecided_ = *arrival == Arrival::kUndecided;
      if (*arrival != Arrival::kMessage) return;
      if (another_reader_each_time) replace();
      const auto request = parse_allocation_request(connection_->message());
      ASSERT_TRUE(request) << request.error().message;
      ids_.push_back(request->buffer_id);
      connection_->mark_done();
    }
  }
  // A successor of a reader that was killed here: all it has is the row and the socket.
  void replace() {
    const int socket = ::dup(connection_->socket());
    connection_.emplace(1, 0, row_, UniqueFd(socket));
    connection_->resume();
  }
  [[nodiscard]] AllocationConnection& connection() { return *connection_; }
  [[nodiscard]] AllocationRow& row() { return row_; }
  [[nodiscard]] int peer() const { return peer_.get(); }
  [[nodiscard]] const std::vector<std::uint64_t>& ids() const { return ids_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] bool undecided() const { return undecided_; }

 private:
  AllocationRow row_{};
  UniqueFd peer_;
  std::optional<AllocationConnection> connection_;
  std::vector<std::uint64_t> ids_;
  std::string error_;
  bool undecided_ = false;
};

std::string three_records(std::size_t message_bytes) {
  std::string bytes;
  for (const std::uint64_t id : {11U, 12U, 13U}) {
    bytes += allocation_message({.type = test::kAlloc, .size = 4096, .buffer_id = id}, message_bytes);
  }
  return bytes;
}

class Forms : public testing::TestWithParam<std::size_t> {};

// Cut anywhere, the second piece coming after the first was read: the same three messages.
TEST_P(Forms, EverySplit) {
  const std::string bytes = three_records(GetParam());
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    Stream stream;
    stream.send(bytes.substr(0, cut));
    stream.read_all();
    stream.send(bytes.substr(cut));
    stream.read_all();
    ASSERT_EQ(stream.ids(), (std::vector<std::uint64_t>{11, 12, 13})) << "cut at " << cut << ": " << stream.error();
    ASSERT_EQ(stream.connection().answer_bytes(), GetParam()) << cut;
  }
}

// Byte by byte, each read before the next comes, by another reader each time.
TEST_P(Forms, ByteByByteByManyReaders) {
  const std::string bytes = three_records(GetParam());
  Stream stream;
  for (const char byte : bytes) {
    stream.send({byte});
    stream.read_all(true);
  }
  EXPECT_EQ(stream.ids(), (std::vector<std::uint64_t>{11, 12, 13})) << stream.error();
  EXPECT_EQ(stream.connection().answer_bytes(), GetParam());
}

// A question behind a record is known by the record's size at once.
TEST_P(Forms, QuestionBehindARecord) {
  Stream stream;
  stream.send(allocation_message({.type = test::kAlloc, .size = 1, .buffer_id = 11}, GetParam()));
  stream.read_all();
  stream.send(allocation_message({.type = test::kQuery, .buffer_id = 12}, GetParam()));
  stream.read_all();
  EXPECT_EQ(stream.ids(), (std::vector<std::uint64_t>{11, 12}));
  EXPECT_FALSE(stream.undecided());
  EXPECT_EQ(stream.connection().answer_bytes(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(BothSizes, Forms, testing::Values(kShortMessageBytes, kLongMessageBytes));

// A long question is whole, so its size is known; a short one that comes first is known by the silence behind it.
TEST(AllocationConnection, FirstQuestion) {
  Stream is_long;
  is_long.send(allocation_message({.type = test::kQuery, .buffer_id = 1}, kLongMessageBytes));
  is_long.read_all();
  EXPECT_EQ(is_long.ids().size(), 1U);
  EXPECT_EQ(is_long.connection().answer_bytes(), kLongMessageBytes);

  Stream is_short;
  is_short.send(allocation_message({.type = test::kQuery, .buffer_id = 1}, kShortMessageBytes));
  is_short.read_all();
  EXPECT_TRUE(is_short.undecided());
  EXPECT_TRUE(is_short.ids().empty());
  ASSERT_EQ(is_short.connection().fetch(true), Arrival::kMessage);
  EXPECT_EQ(is_short.connection().answer_bytes(), kShortMessageBytes);
  is_short.connection().mark_done();
  // The rest of a long message all the same, from a sender that took its time: nothing that follows is misread.
  is_short.send(std::string(kLongTailBytes, '\0'));
  is_short.send(allocation_message({.type = test::kAlloc, .size = 1, .buffer_id = 2}, kLongMessageBytes));
  is_short.read_all();
  EXPECT_EQ(is_short.ids(), std::vector<std::uint64_t>{2}) << is_short.error();
}

// What is no message is an error, whatever the size is.
TEST(AllocationConnection, Garbage) {
  for (const std::size_t count : {kShortMessageBytes, kShortMessageBytes + 1, kLongMessageBytes}) {
    Stream stream;
    stream.send(std::string(count, '\x55'));
    const auto arrival = stream.connection().fetch(false);
    EXPECT_FALSE(arrival &&
                 !(*arrival == Arrival::kMessage && !parse_allocation_request(stream.connection().message())))
        << count;
  }
  Stream zeros;
  zeros.send(std::string(2 * kLongMessageBytes, '\0'));
  EXPECT_FALSE(zeros.connection().fetch(false));
}

// An answer that nobody reads waits, one that was begun by a killed predecessor ends the stream instead of going on
// wrongly, and the peer may go on sending.
TEST(AllocationConnection, Answers) {
  Stream stream;
  int pieces = 0;
  const auto endless = [&pieces](std::string& out) {
    out.append(4096, 'x');
    return ++pieces < 1'000'000;
  };
  ASSERT_TRUE(stream.connection().answer(endless));
  stream.connection().flush();
  EXPECT_TRUE(stream.connection().has_output());
  EXPECT_LT(pieces, 1000);
  EXPECT_EQ(stream.row().answering, 1U);
  Status queued;
  int asked = 1;
  for (; asked < 1000 && queued; ++asked) queued = stream.connection().answer([](std::string&) { return false; });
  EXPECT_FALSE(queued);
  EXPECT_LT(asked, 100);

  stream.replace();
  EXPECT_FALSE(stream.connection().has_output());
  std::string rest(1 << 20, '\0');
  ssize_t got = 0;
  do {
    got = ::recv(stream.peer(), rest.data(), rest.size(), 0);
  } while (got > 0);
  EXPECT_EQ(got, 0) << "the peer should read an end";
  stream.send(allocation_message({.type = test::kAlloc, .size = 1, .buffer_id = 7}, kLongMessageBytes));
  stream.read_all();
  EXPECT_EQ(stream.ids(), std::vector<std::uint64_t>{7});
}

// A short answer is gone at once, and nothing is owed then.
TEST(AllocationConnection, AnswerIsSent) {
  Stream stream;
  ASSERT_TRUE(stream.connection().answer([](std::string& out) {
    out += "answer";
    return false;
  }));
  stream.connection().flush();
  EXPECT_FALSE(stream.connection().has_output());
  EXPECT_EQ(stream.row().answering, 0U);
  char text[16] = {};
  EXPECT_EQ(::recv(stream.peer(), text, sizeof(text), 0), 6);
  EXPECT_STREQ(text, "answer");
}

}  // namespace
}  // namespace warden::daemon
