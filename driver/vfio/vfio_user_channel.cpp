// SPDX-License-Identifier: Apache-2.0
// Requests and replies over the socket. A message of at most kMaxTransferBytes of payload fits one socket buffer of the
// kernel: it is sent by one sendmsg and received by one recvmsg, so a process killed at any instruction leaves the
// stream at a message boundary, and a successor that holds the same descriptor can go on (expect_stale_replies).
#include "driver/vfio/vfio_user_channel.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <random>

namespace warden::vfio {
namespace {

using Clock = std::chrono::steady_clock;

// A predecessor has at most one request under way; a peer that sends more unasked replies than this is not answering
// us.
constexpr int kMaxStaleReplies = 16;

// A random start keeps our ids apart from those of a predecessor on the same connection.
std::uint16_t random_id() { return static_cast<std::uint16_t>(std::random_device{}()); }

iovec piece_of(const void* data, std::size_t size_bytes) { return {const_cast<void*>(data), size_bytes}; }

// Drops the first `count` bytes of a gather list.
void advance(std::span<iovec> pieces, std::size_t count) {
  for (iovec& piece : pieces) {
    const std::size_t step = std::min(count, piece.iov_len);
    piece.iov_base = static_cast<std::byte*>(piece.iov_base) + step;
    piece.iov_len -= step;
    count -= step;
  }
}

void take_descriptors(msghdr& message, std::vector<UniqueFd>& into) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      into.emplace_back(fd);
    }
  }
}

using ControlBuffer = std::array<std::byte, CMSG_SPACE(sizeof(int) * wire::kMaxMessageFds)>;

void attach_descriptors(msghdr& message, ControlBuffer& buffer, std::span<const int> fds) {
  if (fds.empty()) return;
  message.msg_control = buffer.data();
  message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
  cmsghdr* control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
  std::memcpy(CMSG_DATA(control), fds.data(), sizeof(int) * fds.size());
}

}  // namespace

std::string_view to_string(wire::Command command) noexcept {
  switch (command) {
    case wire::Command::kVersion: return "VERSION";
    case wire::Command::kDmaMap: return "DMA_MAP";
    case wire::Command::kDmaUnmap: return "DMA_UNMAP";
    case wire::Command::kDeviceGetInfo: return "DEVICE_GET_INFO";
    case wire::Command::kDeviceGetRegionInfo: return "DEVICE_GET_REGION_INFO";
    case wire::Command::kDeviceGetRegionIoFds: return "DEVICE_GET_REGION_IO_FDS";
    case wire::Command::kDeviceGetIrqInfo: return "DEVICE_GET_IRQ_INFO";
    case wire::Command::kDeviceSetIrqs: return "DEVICE_SET_IRQS";
    case wire::Command::kRegionRead: return "REGION_READ";
    case wire::Command::kRegionWrite: return "REGION_WRITE";
    case wire::Command::kDmaRead: return "DMA_READ";
    case wire::Command::kDmaWrite: return "DMA_WRITE";
    case wire::Command::kDeviceReset: return "DEVICE_RESET";
  }
  return "unknown command";
}

VfioUserChannel::VfioUserChannel(UniqueFd socket, int timeout_ms)
    : socket_(std::move(socket)), timeout_ms_(timeout_ms), next_id_(random_id()) {
  // The kernel keeps the deadline of the fast path: no poll before each call. Failing to set it (not a socket) shows
  // at the first request.
  const timeval limit{timeout_ms / 1000, (timeout_ms % 1000) * 1000};
  (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

void VfioUserChannel::expect_stale_replies() {
  const std::lock_guard lock(mutex_);
  stale_possible_ = true;
}

std::unexpected<Error> VfioUserChannel::break_off(std::string reason) {
  const std::lock_guard lock(mutex_);
  return die(Code::kProtocol, std::move(reason));
}

std::unexpected<Error> VfioUserChannel::die(Code code, std::string reason) {
  dead_reason_ = reason;
  return fail(code, std::move(reason));
}

Result<std::size_t> VfioUserChannel::exchange(const Exchange& exchange) {
  const std::lock_guard lock(mutex_);
  if (!dead_reason_.empty()) return fail(Code::kDisconnected, "connection given up: " + dead_reason_);
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(timeout_ms_);
  const std::uint16_t id = next_id_++;
  if (auto sent = send(exchange, id); !sent) return std::unexpected(std::move(sent).error());
  const Status at_own_reply = stale_possible_ ? drop_stale_replies(id, deadline) : Status{};
  auto received = at_own_reply ? receive(exchange, id, deadline) : std::unexpected(at_own_reply.error());
  if (!received && received.error().code == Code::kTimeout && dead_reason_.empty()) {
    stale_possible_ = true;
    return fail(Code::kTimeout, fmt::format("no reply to {} within {} ms", to_string(exchange.command), timeout_ms_));
  }
  return received;
}

Status VfioUserChannel::send(const Exchange& exchange, std::uint16_t id) {
  std::array<iovec, 1 + kMaxPieces> pieces{};
  wire::Header header{id, static_cast<std::uint16_t>(exchange.command), sizeof(wire::Header), 0, 0};
  std::size_t piece_count = 0;
  pieces[piece_count++] = piece_of(&header, sizeof(header));
  for (const auto& piece : exchange.request) {
    pieces[piece_count++] = piece_of(piece.data(), piece.size());
    header.message_bytes += static_cast<std::uint32_t>(piece.size());
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = piece_count;
  alignas(cmsghdr) ControlBuffer control{};
  attach_descriptors(message, control, exchange.request_fds);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == static_cast<ssize_t>(header.message_bytes)) return {};
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return fail(Code::kTimeout,
                fmt::format("{} could not be sent within {} ms", to_string(exchange.command), timeout_ms_));
  }
  if (sent < 0) {
    return die(Code::kDisconnected, fmt::format("send {}: {}", to_string(exchange.command), std::strerror(errno)));
  }
  return die(Code::kDisconnected, fmt::format("send {}: only {} of {} bytes went out", to_string(exchange.command),
                                              sent, header.message_bytes));
}

Status VfioUserChannel::wait_readable(Deadline deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return fail(Code::kTimeout, fmt::format("nothing received within {} ms", timeout_ms_));
    pollfd wanted{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(left));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return die(Code::kIo, fmt::format("poll: {}", std::strerror(errno)));
  }
}

// `first`: the fast path, one blocking call that the kernel's own timeout bounds.
Result<std::size_t> VfioUserChannel::receive_some(msghdr& message, Deadline deadline, bool first) {
  for (bool blocking = first;; blocking = false) {
    if (!blocking) {
      if (auto ready = wait_readable(deadline); !ready) return std::unexpected(std::move(ready).error());
    }
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | (blocking ? 0 : MSG_DONTWAIT));
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return die(Code::kDisconnected, "the peer closed the connection");
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
      return die(Code::kDisconnected, fmt::format("receive: {}", std::strerror(errno)));
    }
  }
}

Status VfioUserChannel::check_length(const wire::Header& header, std::size_t room_bytes) {
  if (header.message_bytes >= sizeof(header) && header.message_bytes <= room_bytes) return {};
  return die(Code::kProtocol, fmt::format("a reply to command {} claims {} bytes where {} to {} are possible",
                                          header.command, header.message_bytes, sizeof(header), room_bytes));
}

// A peer that cuts its messages (ours does not) is followed to the message's end.
Status VfioUserChannel::receive_rest(std::span<iovec> pieces, std::size_t have_bytes, const wire::Header& header,
                                     std::size_t room_bytes, Deadline deadline) {
  bool length_checked = false;
  for (;;) {
    if (have_bytes >= sizeof(header) && !length_checked) {
      if (auto fits = check_length(header, room_bytes); !fits) return fits;
      length_checked = true;
    }
    if (length_checked && have_bytes == header.message_bytes) return {};
    if (length_checked && have_bytes > header.message_bytes) {
      return die(Code::kProtocol, fmt::format("{} bytes came behind a reply of {}", have_bytes - header.message_bytes,
                                              header.message_bytes));
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    auto got = receive_some(message, deadline, false);
    if (!got && got.error().code == Code::kTimeout) {
      return die(Code::kProtocol, fmt::format("a reply stopped after {} bytes", have_bytes));
    }
    if (!got) return std::unexpected(std::move(got).error());
    advance(pieces, *got);
    have_bytes += *got;
  }
}

Result<std::size_t> VfioUserChannel::receive(const Exchange& exchange, std::uint16_t id, Deadline deadline) {
  wire::Header header{};
  std::array<iovec, 1 + kMaxPieces> pieces{};
  std::size_t piece_count = 0;
  std::size_t room_bytes = sizeof(header);
  pieces[piece_count++] = piece_of(&header, sizeof(header));
  for (const auto& piece : exchange.reply) {
    pieces[piece_count++] = piece_of(piece.data(), piece.size());
    room_bytes += piece.size();
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = piece_count;
  alignas(cmsghdr) ControlBuffer control{};
  if (exchange.reply_fds != nullptr) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  auto got = receive_some(message, deadline, true);
  if (!got) return got;
  if (exchange.reply_fds != nullptr) take_descriptors(message, *exchange.reply_fds);
  if (*got < sizeof(header) || *got != header.message_bytes || header.message_bytes > room_bytes) {
    const std::span<iovec> rest(pieces.data(), piece_count);
    advance(rest, *got);
    if (auto whole = receive_rest(rest, *got, header, room_bytes, deadline); !whole) {
      return std::unexpected(std::move(whole).error());
    }
  }
  return check_reply(exchange, id, header);
}

Result<std::size_t> VfioUserChannel::check_reply(const Exchange& exchange, std::uint16_t id,
                                                 const wire::Header& header) {
  if ((header.flags & wire::kFlagTypeMask) != wire::kFlagReply) {
    return die(Code::kProtocol, fmt::format("the peer sent a request of its own (command {})", header.command));
  }
  if (header.message_id != id || header.command != static_cast<std::uint16_t>(exchange.command)) {
    return die(Code::kProtocol, fmt::format("reply to message {} command {} where message {} {} was asked",
                                            header.message_id, header.command, id, to_string(exchange.command)));
  }
  stale_possible_ = false;
  if ((header.flags & wire::kFlagError) != 0) {
    const int error_number = header.error_number == 0 || header.error_number > 4095 ? EIO : int(header.error_number);
    return fail_errno(to_string(exchange.command), error_number);
  }
  const std::size_t payload_bytes = header.message_bytes - sizeof(header);
  if (payload_bytes < exchange.reply_min_bytes) {
    return die(Code::kProtocol, fmt::format("the reply to {} holds {} bytes where {} are needed",
                                            to_string(exchange.command), payload_bytes, exchange.reply_min_bytes));
  }
  return payload_bytes;
}

// Looks at each message before taking it, and takes it whole: killed here, a successor finds a boundary again.
Status VfioUserChannel::drop_stale_replies(std::uint16_t id, Deadline deadline) {
  for (int dropped = 0; dropped <= kMaxStaleReplies; ++dropped) {
    if (auto ready = wait_readable(deadline); !ready) return ready;
    wire::Header header{};
    const ssize_t seen = ::recv(socket_.get(), &header, sizeof(header), MSG_PEEK | MSG_DONTWAIT);
    if (seen == 0) return die(Code::kDisconnected, "the peer closed the connection");
    if (seen != static_cast<ssize_t>(sizeof(header))) {
      return die(Code::kProtocol, "the stream is not at the beginning of a reply");
    }
    if (header.message_id == id) return {};
    if (auto fits = check_length(header, wire::kMaxMessageBytes); !fits) return fits;
    std::vector<std::byte> unwanted(header.message_bytes);
    std::array<iovec, 1> pieces{piece_of(unwanted.data(), unwanted.size())};
    if (auto gone = receive_rest(pieces, 0, header, wire::kMaxMessageBytes, deadline); !gone) return gone;
  }
  return die(Code::kProtocol, fmt::format("more than {} replies to requests that are not ours", kMaxStaleReplies));
}

}  // namespace warden::vfio
