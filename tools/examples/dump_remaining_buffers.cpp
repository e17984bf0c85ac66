// SPDX-License-Identifier: Apache-2.0
// Asks what is allocated still, and prints it: a small client of DUMP_REMAINING, and of wardend's own listing, which
// also knows the sessions of libwarden.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <warden/result.h>
#include <warden/session.h>
#include <warden/unique_fd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "tools/warden/allocation_listing.h"
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

// What a wardend knows of sessions and of its own allocation server's clients.
struct WardendsView {
  std::vector<RemainingBuffer> buffers;
  bool serves_default_path = false;  // the server at the default path is this wardend's: counted already
};

Result<WardendsView> ask_wardend() {
  AttachOptions options;
  options.name = "dump_remaining_buffers";
  const auto session = Session::attach(options);
  if (!session) return std::unexpected(session.error());
  const auto json = (*session)->allocations_json();
  if (!json) return std::unexpected(json.error());
  const auto listing = cli::parse_allocations(*json);
  if (!listing) return std::unexpected(listing.error());
  const auto status = (*session)->status_json();
  if (!status) return std::unexpected(status.error());
  return WardendsView{cli::remaining_buffers(*listing),
                      cli::allocation_server_path(*status) == std::string(kAllocationSocketPath)};
}

// Without a path: all that can be found. Whoever answers is enough; the error is the allocation server's.
Result<std::vector<RemainingBuffer>> ask_everybody() {
  auto known = ask_wardend();
  if (known && known->serves_default_path) return std::move(known->buffers);
  auto buffers = ask(kAllocationSocketPath);
  if (!known) return buffers;
  if (buffers) known->buffers.insert(known->buffers.end(), buffers->begin(), buffers->end());
  return std::move(known->buffers);
}

int usage(std::FILE* stream) {
  fmt::print(stream,
             "usage: dump_remaining_buffers [SOCKET]\n"
             "Prints what is allocated still, by process, device and kind, as the allocation server at SOCKET knows "
             "it.\n"
             "Without SOCKET: what wardend knows (at $WARDEN_SOCKET, else /run/warden/warden.sock), sessions of\n"
             "libwarden and clients of its allocation server, and what the server at {} knows.\n\n"
             "Examples:\n"
             "  dump_remaining_buffers\n"
             "  dump_remaining_buffers /tmp/other.sock\n",
             kAllocationSocketPath);
  return stream == stdout ? 0 : kUsage;
}

int run(int argc, char** argv) {
  const std::string argument = argc > 1 ? argv[1] : "";
  if (argc > 2 || argument.starts_with("-")) return usage(argument == "--help" ? stdout : stderr);
  const auto buffers = argument.empty() ? ask_everybody() : ask(argument);
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
