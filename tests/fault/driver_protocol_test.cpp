// SPDX-License-Identifier: Apache-2.0
// What the vfio-user client does with peers that lie, stop, or go away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <future>
#include <optional>

#include "driver/vfio/device.h"
#include "tests/fault/driver_scripted_server.h"

namespace warden {
namespace {

using ::testing::HasSubstr;
using testing::Peer;
using testing::Received;
using testing::ScriptedServer;
using vfio::Device;
namespace wire = vfio::wire;

// Long enough for a loaded machine where an answer comes; short where silence is the point.
constexpr vfio::OpenOptions kPatient{.request_timeout_ms = 30'000};
constexpr vfio::OpenOptions kHasty{.request_timeout_ms = 1'000};

Result<std::uint32_t> read_word(Device& device) {
  std::uint32_t value = 0;
  auto done = device.read(0, 0x100, std::as_writable_bytes(std::span(&value, 1)));
  if (!done) return std::unexpected(std::move(done).error());
  return value;
}

// Opens, then lets `answer` deal with one read. Gives the code of that read and of the next one.
std::pair<Code, Code> codes_of_read(const std::function<void(Peer&, const Received&)>& answer) {
  ScriptedServer server([&](Peer& peer) {
    peer.serve_information(true);
    answer(peer, peer.receive());
    while (!peer.receive().ended) {
    }
  });
  auto device = vfio::open(server.name(), kPatient);
  if (!device) throw std::runtime_error(device.error().message);
  auto first = read_word(**device);
  auto second = read_word(**device);
  return {first ? Code{} : first.error().code, second ? Code{} : second.error().code};
}

const std::pair kBrokenOff{Code::kProtocol, Code::kDisconnected};

// Proves that a well-behaved server works, capabilities nobody knows included: the other tests fail for their reason.
TEST(VfioUserProtocol, GoodServerIsRead) {
  ScriptedServer server([](Peer& peer) {
    peer.serve_information(true);
    peer.reply_access(peer.receive());
  });
  auto device = vfio::open(server.name(), kPatient);
  ASSERT_TRUE(device) << device.error().message;
  EXPECT_TRUE((*device)->info().can_reset);
  EXPECT_EQ((*device)->region(0)->size_bytes, 1U << 20);
  EXPECT_EQ(read_word(**device).value(), 0x5A5A5A5AU);
}

// An answer about region 0, of 1 MiB, of which these areas can be mapped; `claimed` of them in the capability's head.
std::vector<std::byte> sparse_region(std::span<const vfio::RegionArea> areas, std::uint32_t claimed) {
  std::vector<std::byte> bytes(sizeof(wire::RegionInfo) + sizeof(vfio_region_info_cap_sparse_mmap) +
                               areas.size() * sizeof(vfio_region_sparse_mmap_area));
  const wire::RegionInfo info{static_cast<std::uint32_t>(bytes.size()),
                              VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP |
                                  VFIO_REGION_INFO_FLAG_CAPS,
                              0,
                              sizeof(wire::RegionInfo),
                              1 << 20,
                              0};
  std::memcpy(bytes.data(), &info, sizeof(info));
  const vfio_region_info_cap_sparse_mmap head{
      .header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1, .next = 0}, .nr_areas = claimed, .reserved = 0};
  std::byte* at = bytes.data() + sizeof(info);
  std::memcpy(at, &head, sizeof(head));
  at += sizeof(head);
  for (const vfio::RegionArea& area : areas) {
    const vfio_region_sparse_mmap_area one{.offset = area.offset, .size = area.size_bytes};
    std::memcpy(at, &one, sizeof(one));
    at += sizeof(one);
  }
  return bytes;
}

// Opens a device whose region 0 is told like this, over a file.
Result<std::unique_ptr<Device>> open_with_region(const std::vector<std::byte>& told,
                                                 std::optional<ScriptedServer>& server) {
  server.emplace([told](Peer& peer) {
    const UniqueFd memory(::memfd_create("region", MFD_CLOEXEC));
    if (::ftruncate(memory.get(), 1 << 20) != 0) return;
    peer.serve_information(true, [&](const Received& asked) { peer.reply_with_fd(asked, told, memory.get()); });
    while (!peer.receive().ended) {
    }
  });
  return vfio::open(server->name(), kPatient);
}

// Proves that of a region with holes those areas alone can be mapped which its server names, whole or in part.
TEST(VfioUserProtocol, OnlyTheAreasThatAreToldCanBeMapped) {
  const std::array<vfio::RegionArea, 2> areas{{{0x8000, 0x4000}, {0x1000, 0x2000}}};
  std::optional<ScriptedServer> server;
  auto device = open_with_region(sparse_region(areas, 2), server);
  ASSERT_TRUE(device) << device.error().message;
  const auto known = (*device)->region(0).value();
  ASSERT_EQ(known.mappable_areas.size(), 2U);
  EXPECT_EQ(known.mappable_areas[0].offset, 0x1000U);
  const auto code = [&](std::uint64_t offset, std::uint64_t size_bytes) {
    auto mapping = (*device)->map(0, offset, size_bytes);
    return mapping ? Code{} : mapping.error().code;
  };
  EXPECT_EQ(code(0x1000, 0x2000), Code{});
  EXPECT_EQ(code(0x9000, 0x1000), Code{});
  EXPECT_EQ(code(0, 0x1000), Code::kUnsupported);
  EXPECT_EQ(code(0x2000, 0x2000), Code::kUnsupported) << "over the end of an area";
  EXPECT_EQ(code(0x1000, 0x9000), Code::kUnsupported) << "over a hole";
}

// Proves that areas which are claimed, but not there, are not read; and that a region of which no area is named, or
// more than there was room for, can't be mapped at all.
TEST(VfioUserProtocol, AreasThatAreNotThereAreNotMapped) {
  const std::array<vfio::RegionArea, 1> areas{{{0x1000, 0x1000}}};
  std::optional<ScriptedServer> server;
  auto many = open_with_region(sparse_region(areas, 0xFFFF'FFFF), server);
  ASSERT_TRUE(many) << many.error().message;
  EXPECT_EQ((*many)->region(0)->mappable_areas.size(), 1U);
  many->reset();
  auto none = open_with_region(sparse_region({}, 0), server);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE((*none)->region(0)->mappable);
  none->reset();
  auto told = sparse_region(areas, 1);
  told.resize(sizeof(wire::RegionInfo));
  const std::uint32_t wanted_bytes = 4096;
  std::memcpy(told.data(), &wanted_bytes, sizeof(wanted_bytes));
  auto more = open_with_region(told, server);
  ASSERT_TRUE(more) << more.error().message;
  EXPECT_FALSE((*more)->region(0)->mappable);
}

// Proves that a reply to a message we did not send ends the connection.
TEST(VfioUserProtocol, WrongMessageIdEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, Received request) {
              ++request.header.message_id;
              peer.reply_access(request);
            }),
            kBrokenOff);
}

// Proves that the right id with another command is not taken for an answer.
TEST(VfioUserProtocol, WrongCommandEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, Received request) {
              request.header.command = static_cast<std::uint16_t>(wire::Command::kDeviceReset);
              peer.reply(request, {});
            }),
            kBrokenOff);
}

// Proves that a request from the server (DMA over the socket, which we never offered) is not taken for an answer.
TEST(VfioUserProtocol, RequestInsteadOfReplyEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, const Received& request) {
              peer.reply(request, {}, [](wire::Header& header) { header.flags = 0; });
            }),
            kBrokenOff);
}

// Proves that a length beyond what was asked for is refused before anything is waited for.
TEST(VfioUserProtocol, OversizedReplyEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, const Received& request) {
              peer.reply(request, {}, [](wire::Header& header) { header.message_bytes = 0xFFFF'FFFF; });
            }),
            kBrokenOff);
}

// Proves that a length smaller than a header is refused.
TEST(VfioUserProtocol, LengthBelowHeaderEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, const Received& request) {
              peer.reply(request, {}, [](wire::Header& header) { header.message_bytes = 3; });
            }),
            kBrokenOff);
}

// Proves that a reply without the data that was asked for is refused.
TEST(VfioUserProtocol, ReplyWithoutDataEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, const Received& request) {
              peer.reply(request, std::span(request.payload).first(sizeof(wire::RegionAccess)));
            }),
            kBrokenOff);
}

// Proves that a reply that counts fewer bytes than were asked for is refused although its size is right.
TEST(VfioUserProtocol, ShortCountEndsTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, const Received& request) {
              std::array<std::byte, sizeof(wire::RegionAccess) + 4> payload{};
              const wire::RegionAccess access{0x100, 0, 2};
              std::memcpy(payload.data(), &access, sizeof(access));
              peer.reply(request, payload);
            }),
            kBrokenOff);
}

// Proves that bytes behind a reply are noticed instead of being read as the next one's header.
TEST(VfioUserProtocol, BytesBehindAReplyEndTheConnection) {
  EXPECT_EQ(codes_of_read([](Peer& peer, const Received& request) {
              std::array<std::byte, sizeof(wire::Header) + 5> message{};
              const wire::Header header{request.header.message_id, request.header.command, sizeof(wire::Header),
                                        wire::kFlagReply | wire::kFlagError, EINVAL};
              std::memcpy(message.data(), &header, sizeof(header));
              peer.send_raw(message);
            }),
            kBrokenOff);
}

// Proves that a reply cut into single bytes is put together: only our own server promises whole messages.
TEST(VfioUserProtocol, ReplyInPiecesIsPutTogether) {
  const auto codes = codes_of_read([](Peer& peer, const Received& request) {
    std::array<std::byte, sizeof(wire::Header) + sizeof(wire::RegionAccess) + 4> message{};
    const wire::Header header{request.header.message_id, request.header.command, message.size(), wire::kFlagReply, 0};
    std::memcpy(message.data(), &header, sizeof(header));
    std::memcpy(message.data() + sizeof(header), request.payload.data(), sizeof(wire::RegionAccess));
    for (const std::byte& byte : message) peer.send_raw({&byte, 1});
    peer.reply_access(peer.receive());
  });
  EXPECT_EQ(codes, (std::pair{Code{}, Code{}}));
}

// Proves that an error the server reports is passed on by its meaning and harms nothing.
TEST(VfioUserProtocol, ErrorReplyKeepsTheConnection) {
  const auto codes = codes_of_read([](Peer& peer, const Received& request) {
    peer.reply_error(request, EACCES);
    peer.reply_access(peer.receive());
  });
  EXPECT_EQ(codes, (std::pair{Code::kPermission, Code{}}));
}

// Proves that a server that hangs up in the middle of a reply is a disconnect, at once.
TEST(VfioUserProtocol, HangUpInsideAReplyIsADisconnect) {
  ScriptedServer server([](Peer& peer) {
    peer.serve_information(true);
    const auto request = peer.receive();
    peer.send_raw(std::as_bytes(std::span(&request.header, 1)).first(7));
  });
  auto device = vfio::open(server.name(), kPatient);
  ASSERT_TRUE(device) << device.error().message;
  EXPECT_EQ(read_word(**device).error().code, Code::kDisconnected);
  EXPECT_EQ(read_word(**device).error().code, Code::kDisconnected);
}

// Proves that silence ends at the deadline with an error that names the request, and that the answer that comes too
// late is not taken for the answer to the next request.
TEST(VfioUserProtocol, LateReplyIsDropped) {
  std::promise<void> timed_out;
  ScriptedServer server([&](Peer& peer) {
    peer.serve_information(true);
    const auto unanswered = peer.receive();
    timed_out.get_future().wait();
    peer.reply_error(unanswered, EIO);
    for (auto request = peer.receive(); !request.ended; request = peer.receive()) peer.reply_access(request);
  });
  auto device = vfio::open(server.name(), kHasty);
  ASSERT_TRUE(device) << device.error().message;
  auto silent = read_word(**device);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, Code::kTimeout);
  EXPECT_THAT(silent.error().message, HasSubstr("REGION_READ"));
  timed_out.set_value();
  // On a loaded machine the server may be late again; then asking again is what a caller would do.
  auto answered = read_word(**device);
  for (int i = 0; i < 60 && !answered && answered.error().code == Code::kTimeout; ++i) answered = read_word(**device);
  ASSERT_TRUE(answered) << answered.error().message;
  EXPECT_EQ(*answered, 0x5A5A5A5AU);
}

// Proves that a peer that answers with rubbish for ever is given up instead of being drained for ever.
TEST(VfioUserProtocol, FloodOfStaleRepliesIsGivenUp) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  ScriptedServer server(UniqueFd{pair[0]}, [](Peer& peer) {
    auto request = peer.receive();
    for (int i = 0; i < 100; ++i) {
      ++request.header.message_id;
      peer.reply(request, {});
    }
    while (!peer.receive().ended) {
    }
  });
  std::vector<UniqueFd> descriptors;
  descriptors.emplace_back(pair[1]);
  auto device = vfio::adopt("vfio-user:/x", std::move(descriptors), kPatient);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, Code::kProtocol);
}

// Proves that a successor on the same socket drops the answer to its predecessor's request and then works.
TEST(VfioUserProtocol, AdoptDropsThePredecessorsReply) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  // What a killed process leaves: a request in the stream.
  const wire::Header request{7, static_cast<std::uint16_t>(wire::Command::kRegionRead),
                             sizeof(wire::Header) + sizeof(wire::RegionAccess), 0, 0};
  const wire::RegionAccess access{0, 0, 32 * 1024};
  std::array<std::byte, sizeof(request) + sizeof(access)> message{};
  std::memcpy(message.data(), &request, sizeof(request));
  std::memcpy(message.data() + sizeof(request), &access, sizeof(access));
  ASSERT_EQ(::send(pair[1], message.data(), message.size(), 0), static_cast<ssize_t>(message.size()));
  ScriptedServer server(UniqueFd{pair[0]}, [](Peer& peer) {
    peer.reply_access(peer.receive());
    peer.serve_information(false);
    peer.reply_access(peer.receive());
  });
  std::vector<UniqueFd> descriptors;
  descriptors.emplace_back(pair[1]);
  auto device = vfio::adopt("vfio-user:/x", std::move(descriptors), kPatient);
  ASSERT_TRUE(device) << device.error().message;
  EXPECT_EQ(read_word(**device).value(), 0x5A5A5A5AU);
}

Error error_of_open(const std::function<void(Peer&)>& script) {
  ScriptedServer server(script);
  auto device = vfio::open(server.name(), kPatient);
  return device ? Error{Code{}, "opened"} : std::move(device).error();
}

// Proves that a second client hears that the card is in use, not a riddle.
TEST(VfioUserOpen, BusyServerIsBusy) {
  const Error error = error_of_open([](Peer& peer) { peer.reply_error(peer.receive(), EBUSY); });
  EXPECT_EQ(error.code, Code::kBusy);
  EXPECT_THAT(error.message, HasSubstr("in use by another client"));
}

// Proves that another major version is refused with both versions named.
TEST(VfioUserOpen, OtherMajorVersionIsRefused) {
  const Error error = error_of_open([](Peer& peer) { peer.reply_version(peer.receive(), "{}", 7); });
  EXPECT_EQ(error.code, Code::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("7.1"));
}

// Proves that capabilities that are no JSON are refused without an exception.
TEST(VfioUserOpen, GarbageCapabilitiesAreRefused) {
  for (const char* text : {"{\"capabilities\":", "[1,2]", "\xff\xfe", "7"}) {
    const Error error = error_of_open([&](Peer& peer) { peer.reply_version(peer.receive(), text); });
    EXPECT_EQ(error.code, Code::kProtocol) << text;
  }
}

// Proves that a server that claims a million regions is not asked about each.
TEST(VfioUserOpen, AbsurdDeviceInformationIsRefused) {
  const Error error = error_of_open([](Peer& peer) {
    peer.reply_version(peer.receive(), "{}");
    const wire::DeviceInfo info{sizeof(info), 0, 1'000'000, 5};
    peer.reply(peer.receive(), std::as_bytes(std::span(&info, 1)));
  });
  EXPECT_EQ(error.code, Code::kProtocol);
}

// Proves that the server's transfer limit is kept, and that chunks never cut an aligned 8-byte word.
TEST(VfioUserOpen, TransferLimitIsHonoured) {
  std::atomic<std::uint32_t> largest = 0;
  std::atomic<int> cut_words = 0;
  ScriptedServer server([&](Peer& peer) {
    peer.reply_version(peer.receive(), R"({"capabilities":{"max_data_xfer_size":4096}})");
    peer.serve_information(false);
    for (auto request = peer.receive(); !request.ended; request = peer.receive()) {
      wire::RegionAccess access{};
      std::memcpy(&access, request.payload.data(), sizeof(access));
      largest = std::max(largest.load(), access.count);
      if ((access.offset + access.count) % 8 != 0 && access.offset + access.count != 3 + 10'000) ++cut_words;
      peer.reply_access(request);
    }
  });
  auto device = vfio::open(server.name(), kPatient);
  ASSERT_TRUE(device) << device.error().message;
  std::vector<std::byte> data(10'000);
  ASSERT_TRUE((*device)->read(0, 3, data));
  ASSERT_TRUE((*device)->write(0, 3, data));
  EXPECT_EQ(data.back(), std::byte{0x5A});
  EXPECT_LE(largest, 4096U);
  EXPECT_EQ(cut_words, 0);
}

// Proves that names are judged before anything is opened, and that each refusal says what to do.
TEST(VfioUserOpen, NamesAreChecked) {
  EXPECT_TRUE(vfio::check_name("0000:01:00.0"));
  EXPECT_TRUE(vfio::check_name("vfio-user:/run/x"));
  for (const char* name : {"", "vfio-user:", "0000:01:00.8", "0000:0g:00.0", "card", "0000:01:00.0 "}) {
    auto checked = vfio::check_name(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, Code::kInvalidArgument);
    EXPECT_THAT(checked.error().message, HasSubstr("vfio-user:PATH"));
  }
  EXPECT_EQ(vfio::open("00ff:ff:1f.7").error().code, Code::kNotFound);
  EXPECT_EQ(vfio::open("vfio-user:/nonexistent/socket").error().code, Code::kNotFound);
  EXPECT_EQ(vfio::open("vfio-user:/" + std::string(200, 'x')).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace warden
