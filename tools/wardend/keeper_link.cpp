// SPDX-License-Identifier: Apache-2.0
// The packets between worker and keeper.
#include "tools/wardend/keeper_link.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace warden::daemon {

namespace {

constexpr std::uint32_t kLinkMagic = 0x5045'454b;  // "KEEP"
constexpr std::uint32_t kKeep = 1;
constexpr std::uint32_t kDrop = 2;

struct LinkHeader {
  std::uint32_t magic;
  std::uint32_t operation;
  std::uint32_t name_bytes;
  std::uint32_t blob_bytes;
};
static_assert(sizeof(LinkHeader) == 16);

struct LinkMessage {
  std::uint32_t operation = 0;
  std::string name;
  Kept kept;
};

std::vector<UniqueFd> descriptors_of(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

std::optional<LinkMessage> parse(std::span<const char> bytes, std::vector<UniqueFd> fds) {
  LinkHeader header{};
  if (bytes.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kLinkMagic || header.name_bytes > kMaxKeptNameBytes || header.blob_bytes > kMaxBlobBytes ||
      bytes.size() != sizeof(header) + header.name_bytes + header.blob_bytes) {
    return std::nullopt;
  }
  const char* name = bytes.data() + sizeof(header);
  return LinkMessage{header.operation,
                     std::string(name, header.name_bytes),
                     {std::string(name + header.name_bytes, header.blob_bytes), std::move(fds)}};
}

void apply(LinkMessage message, KeptTable& table) {
  if (message.operation == kDrop) {
    table.erase(message.name);
  } else if (message.operation == kKeep) {
    Kept& kept = table[std::move(message.name)];
    kept.blob = std::move(message.kept.blob);
    if (!message.kept.fds.empty()) kept.fds = std::move(message.kept.fds);
  }
}

}  // namespace

Status KeeperLink::keep(std::string_view name, std::string_view blob, std::span<const int> fds) {
  return send(kKeep, name, blob, fds);
}

Status KeeperLink::drop(std::string_view name) { return send(kDrop, name, {}, {}); }

Status KeeperLink::send(std::uint32_t operation, std::string_view name, std::string_view blob,
                        std::span<const int> fds) {
  if (name.size() > kMaxKeptNameBytes || blob.size() > kMaxBlobBytes || fds.size() > kMaxKeptFds) {
    return fail(Code::kInvalidArgument, "more than the keeper takes under one name: " + std::string(name));
  }
  LinkHeader header{kLinkMagic, operation, static_cast<std::uint32_t>(name.size()),
                    static_cast<std::uint32_t>(blob.size())};
  std::array<iovec, 3> parts{{{&header, sizeof(header)},
                              {const_cast<char*>(name.data()), name.size()},
                              {const_cast<char*>(blob.data()), blob.size()}}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxKeptFds * sizeof(int))> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return fail_errno("tell the keeper of " + std::string(name));
  }
  return {};
}

Result<KeeperLinkEnds> make_keeper_link() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno("socketpair between keeper and worker");
  }
  return KeeperLinkEnds{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool drain_keeper_link(int socket, KeptTable& table) {
  std::array<char, sizeof(LinkHeader) + kMaxKeptNameBytes + kMaxBlobBytes> bytes{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxKeptFds * sizeof(int))> control{};
  for (;;) {
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    std::vector<UniqueFd> fds = descriptors_of(message);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) continue;
    auto parsed = parse(std::span(bytes).first(static_cast<std::size_t>(got)), std::move(fds));
    if (parsed) apply(std::move(*parsed), table);
  }
}

}  // namespace warden::daemon
