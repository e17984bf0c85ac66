// SPDX-License-Identifier: Apache-2.0
// Asks wardend's allocation server what is allocated still, and prints it: a small client of DUMP_REMAINING.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <warden/result.h>
#include <warden/unique_fd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "tools/wardend/allocation_report.h"
#include "tools/wardend/allocation_wire.h"

namespace warden::daemon {
namespace {

constexpr timeval kPatience{10, 0};  // between two messages
constexpr int kUsage = 2;

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return fail(Code::kInvalidArgument, path + " is too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int cause = errno;
    return fail(Code::kNotFound, fmt::format("no allocation server at {}: {}; start allocation_server_poc, or wardend "
                                             "with --allocation-server",
                                             path, std::strerror(cause)));
  }
  return socket;
}

Result<AllocationAnswer> read_answer(const UniqueFd& socket) {
  std::array<std::byte, kLongMessageBytes> message{};
  for (std::size_t have = 0; have < message.size();) {
    const ssize_t got = ::recv(socket.get(), message.data() + have, message.size() - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("await the answer of the allocation server");
    if (got == 0) return fail(Code::kDisconnected, "the allocation server hung up before its answer ended; ask again");
    have += static_cast<std::size_t>(got);
  }
  return decode_allocation_answer(message);
}

RemainingBuffer buffer_of(const AllocationAnswer& record) {
  std::array<char, 17> name{};
  std::memcpy(name.data(), &record.words[2], 16);
  const bool counts_each = record.type != AllocationMessageType::kAlloc;
  return {.pid = record.process_id,
          .own_pid = static_cast<int>(record.words[1]),
          .name = name.data(),
          .device = record.device,
          .kind = std::string(to_string(static_cast<AllocationKind>(record.buffer_type))),
          .bytes = counts_each ? record.size_bytes * record.words[0] : record.size_bytes};
}

Result<std::vector<RemainingBuffer>> ask(const std::string& path) {
  Result<UniqueFd> socket = connect_to(path);
  if (!socket) return std::unexpected(std::move(socket).error());
  const auto question = encode_allocation_answer({.type = AllocationMessageType::kDumpRemaining}, kLongMessageBytes);
  if (::send(socket->get(), question.data(), question.size(), MSG_NOSIGNAL) != kLongMessageBytes) {
    return fail_errno("ask the allocation server");
  }
  std::vector<RemainingBuffer> buffers;
  for (;;) {
    const Result<AllocationAnswer> answer = read_answer(*socket);
    if (!answer) return std::unexpected(answer.error());
    if (answer->type != AllocationMessageType::kResponse) {
      buffers.push_back(buffer_of(*answer));
      continue;
    }
    if (answer->size_bytes == buffers.size()) return buffers;
    return fail(Code::kProtocol, fmt::format("{} buffers came where {} were announced", buffers.size(),
                                             std::uint64_t{answer->size_bytes}));
  }
}

int run(int argc, char** argv) {
  const std::string argument = argc > 1 ? argv[1] : "";
  if (argc > 2 || argument.starts_with("-")) {
    fmt::print(
        argument == "--help" ? stdout : stderr,
        "usage: dump_remaining_buffers [SOCKET]\nPrints what is allocated still, by process, device and kind, as "
        "the allocation server at SOCKET\n(default {}) knows it.\n",
        kAllocationSocketPath);
    return argument == "--help" ? 0 : kUsage;
  }
  const auto buffers = ask(argument.empty() ? kAllocationSocketPath : argument);
  if (!buffers) {
    fmt::print(stderr, "dump_remaining_buffers: {}\n", buffers.error().message);
    return 1;
  }
  fmt::print("{}", format_remaining(*buffers));
  return 0;
}

}  // namespace
}  // namespace warden::daemon

int main(int argc, char** argv) { return warden::daemon::run(argc, argv); }
