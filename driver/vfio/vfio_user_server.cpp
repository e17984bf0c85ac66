// SPDX-License-Identifier: Apache-2.0
// The server half of vfio-user: framing, checks, and the translation of each command into a call of the target.
// Values of flags are those of <linux/vfio.h>; layouts follow the vfio-user specification.
#include "driver/vfio/vfio_user_server.h"

#include <linux/vfio.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include <fmt/format.h>

namespace warden::vfio {

namespace {

constexpr std::uint32_t kDmaMapsMax = 65535;

template <typename T>
T load(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

template <typename T>
std::size_t store(std::span<std::byte> bytes, const T& value) {
  std::memcpy(bytes.data(), &value, sizeof(value));
  return sizeof(value);
}

bool wraps(std::uint64_t begin, std::uint64_t size) { return size > std::numeric_limits<std::uint64_t>::max() - begin; }

std::vector<UniqueFd> descriptors_of(msghdr& message) {
  std::vector<UniqueFd> descriptors;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      descriptors.emplace_back(descriptor);
    }
  }
  return descriptors;
}

Reply<std::size_t> without_payload(Reply<void> done) {
  if (!done) return std::unexpected(done.error());
  return 0;
}

Status check_header(const wire::Header& header) {
  if (header.message_bytes < sizeof(wire::Header)) {
    return fail(Code::kProtocol, fmt::format("message of {} bytes is shorter than a header", header.message_bytes));
  }
  if (header.message_bytes > wire::kMaxMessageBytes) {
    return fail(Code::kProtocol, fmt::format("message of {} bytes is longer than the {} allowed", header.message_bytes,
                                             wire::kMaxMessageBytes));
  }
  if ((header.flags & wire::kFlagTypeMask) != 0) {
    return fail(Code::kProtocol, fmt::format("message with flags {:#x} is not a command", header.flags));
  }
  return {};
}

}  // namespace

const VfioUserSession::CommandRow VfioUserSession::kCommands[] = {
    {wire::Command::kVersion, sizeof(wire::Version), 0, &VfioUserSession::version},
    {wire::Command::kDmaMap, sizeof(wire::DmaMap), 1, &VfioUserSession::dma_map},
    {wire::Command::kDmaUnmap, sizeof(wire::DmaUnmap), 0, &VfioUserSession::dma_unmap},
    {wire::Command::kDeviceGetInfo, sizeof(wire::DeviceInfo), 0, &VfioUserSession::device_info},
    {wire::Command::kDeviceGetRegionInfo, sizeof(wire::RegionInfo), 0, &VfioUserSession::region_info},
    {wire::Command::kDeviceGetIrqInfo, sizeof(wire::IrqInfo), 0, &VfioUserSession::irq_info},
    {wire::Command::kDeviceSetIrqs, sizeof(wire::SetIrqs), wire::kMaxMessageFds, &VfioUserSession::set_irqs},
    {wire::Command::kRegionRead, sizeof(wire::RegionAccess), 0, &VfioUserSession::region_read},
    {wire::Command::kRegionWrite, sizeof(wire::RegionAccess), 0, &VfioUserSession::region_write},
    {wire::Command::kDeviceReset, 0, 0, &VfioUserSession::device_reset},
};

VfioUserSession::VfioUserSession(UniqueFd socket, VfioUserTarget& target, VersionAgreed version)
    : socket_(std::move(socket)),
      target_(target),
      info_(target.info()),
      buffer_(2 * wire::kMaxMessageBytes),
      reply_(wire::kMaxMessageBytes),
      negotiated_(version == VersionAgreed::kBefore) {
  for (std::uint32_t index = 0; index < info_.region_count; ++index) regions_.push_back(target.region(index));
}

void VfioUserSession::stop() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

bool VfioUserSession::peer_gone() const noexcept {
  pollfd poll_one{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&poll_one, 1, 0) == 1 && (poll_one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

Status VfioUserSession::serve() {
  Message message;
  while (true) {
    const Result<bool> more = next_message(message);
    if (!more) return std::unexpected(more.error());
    if (!*more) return {};
    if (Status done = dispatch(message); !done) return done;
  }
}

// False at the end of the stream, if that lies between two messages.
Result<bool> VfioUserSession::next_message(Message& message) {
  message.descriptors.clear();
  while (true) {
    const std::size_t available = end_ - begin_;
    if (available >= sizeof(wire::Header)) {
      message.header = load<wire::Header>(std::span(buffer_).subspan(begin_));
      if (Status good = check_header(message.header); !good) return std::unexpected(good.error());
      const std::size_t size = message.header.message_bytes;
      if (available >= size) {
        message.payload = std::span(buffer_).subspan(begin_ + sizeof(wire::Header), size - sizeof(wire::Header));
        if (!arrived_.empty() && arrived_.front().begin == begin_) {
          message.descriptors = std::move(arrived_.front().descriptors);
          arrived_.erase(arrived_.begin());
        }
        begin_ += size;
        return true;
      }
    }
    Result<bool> more = receive();
    if (!more) return more;
    if (!*more && available == 0) return false;
    if (!*more) {
      return fail(Code::kProtocol, fmt::format("connection closed within a message, after {} bytes of it", available));
    }
  }
}

// One recvmsg, of as much as there is room for; in the usual case that is one whole request.
Result<bool> VfioUserSession::receive() {
  make_room();
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * wire::kMaxMessageFds)> control;
  iovec part{.iov_base = buffer_.data() + end_, .iov_len = buffer_.size() - end_};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t received = 0;
  do {
    received = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return fail_errno("receive");
  std::vector<UniqueFd> descriptors = descriptors_of(header);
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    return fail(Code::kProtocol, fmt::format("more than {} descriptors in one message", wire::kMaxMessageFds));
  }
  end_ += static_cast<std::size_t>(received);
  if (!descriptors.empty()) take_descriptors(std::move(descriptors));
  return received > 0;
}

// A whole message always fits behind begin_.
void VfioUserSession::make_room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - begin_ >= wire::kMaxMessageBytes) return;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  for (Arrived& arrived : arrived_) arrived.begin -= begin_;
  end_ -= begin_;
  begin_ = 0;
}

// The kernel ends a recvmsg with the piece that carried descriptors, and senders attach them to the first byte of a
// message: so they belong to the last message that begins in the buffer.
void VfioUserSession::take_descriptors(std::vector<UniqueFd> descriptors) {
  std::size_t begin = begin_;
  while (end_ - begin >= sizeof(wire::Header)) {
    const std::size_t size = load<wire::Header>(std::span(buffer_).subspan(begin)).message_bytes;
    if (size < sizeof(wire::Header) || size >= end_ - begin) break;
    begin += size;
  }
  arrived_.push_back({begin, std::move(descriptors)});
}

Status VfioUserSession::dispatch(Message& message) {
  const wire::Header& header = message.header;
  const auto command = static_cast<wire::Command>(header.command);
  if (!negotiated_ && command != wire::Command::kVersion) {
    return fail(Code::kProtocol, fmt::format("command {} before the version was agreed on", header.command));
  }
  const auto* row = std::ranges::find(kCommands, command, &CommandRow::command);
  if (row == std::end(kCommands)) return send_reply(header, std::unexpected(ENOTSUP));
  if (message.payload.size() < row->payload_bytes_min) {
    return fail(Code::kProtocol, fmt::format("command {} of {} bytes needs {}", header.command, header.message_bytes,
                                             sizeof(wire::Header) + row->payload_bytes_min));
  }
  if (message.descriptors.size() > row->descriptors_max) {
    return fail(Code::kProtocol, fmt::format("command {} came with {} descriptors, {} allowed", header.command,
                                             message.descriptors.size(), row->descriptors_max));
  }
  const Answer answer = (this->*row->handler)(message);
  Status sent = send_reply(header, answer);
  if (!violation_.empty()) return fail(Code::kProtocol, violation_);
  return sent;
}

Status VfioUserSession::send_reply(const wire::Header& request, Answer answer) {
  if ((request.flags & wire::kFlagNoReply) != 0) return {};
  const std::size_t size = sizeof(wire::Header) + answer.value_or(0);
  store(reply_, wire::Header{.message_id = request.message_id,
                             .command = request.command,
                             .message_bytes = static_cast<std::uint32_t>(size),
                             .flags = answer ? wire::kFlagReply : wire::kFlagReply | wire::kFlagError,
                             .error_number = answer ? 0 : static_cast<std::uint32_t>(answer.error())});
  std::size_t sent = 0;
  while (sent < size) {
    const ssize_t now = ::send(socket_.get(), reply_.data() + sent, size - sent, MSG_NOSIGNAL);
    if (now < 0 && errno == EINTR) continue;
    if (now < 0) return fail_errno("send a reply");
    sent += static_cast<std::size_t>(now);
  }
  return {};
}

std::span<std::byte> VfioUserSession::reply_payload() noexcept {
  return std::span(reply_).subspan(sizeof(wire::Header));
}

VfioUserSession::Answer VfioUserSession::violation(std::string reason, int error_number) {
  violation_ = std::move(reason);
  return std::unexpected(error_number);
}

VfioUserSession::Answer VfioUserSession::version(Message& message) {
  if (negotiated_) return std::unexpected(EINVAL);
  const auto asked = load<wire::Version>(message.payload);
  if (asked.major != wire::kMajorVersion) {
    return violation(fmt::format("peer speaks version {}.{}, this is {}.{}", asked.major, asked.minor,
                                 wire::kMajorVersion, wire::kMinorVersion),
                     EINVAL);
  }
  const auto text = message.payload.subspan(sizeof(wire::Version));
  if (!text.empty()) {
    if (text.back() != std::byte{0}) return violation("version data does not end with a NUL", EINVAL);
    const auto* begin = reinterpret_cast<const char*>(text.data());
    const auto data = nlohmann::json::parse(begin, begin + ::strnlen(begin, text.size()), nullptr, false);
    if (!data.is_object()) return violation("version data is not a JSON object", EINVAL);
  }
  const nlohmann::json mine = {{"capabilities",
                                {{"max_msg_fds", wire::kMaxMessageFds},
                                 {"max_data_xfer_size", wire::kMaxTransferBytes},
                                 {"max_dma_maps", kDmaMapsMax},
                                 {"pgsizes", wire::kPageBytes}}}};
  const std::string data = mine.dump();
  std::span<std::byte> payload = reply_payload();
  std::size_t size =
      store(payload, wire::Version{.major = wire::kMajorVersion, .minor = std::min(asked.minor, wire::kMinorVersion)});
  std::memcpy(payload.data() + size, data.c_str(), data.size() + 1);
  size += data.size() + 1;
  negotiated_ = true;
  return size;
}

VfioUserSession::Answer VfioUserSession::device_info(Message& message) {
  const auto asked = load<wire::DeviceInfo>(message.payload);
  if (asked.argument_bytes < sizeof(wire::DeviceInfo)) return std::unexpected(EINVAL);
  const std::uint32_t flags = VFIO_DEVICE_FLAGS_PCI | (info_.can_reset ? VFIO_DEVICE_FLAGS_RESET : 0U);
  return store(reply_payload(), wire::DeviceInfo{.argument_bytes = sizeof(wire::DeviceInfo),
                                                 .flags = flags,
                                                 .region_count = info_.region_count,
                                                 .irq_count = info_.irq_count});
}

VfioUserSession::Answer VfioUserSession::region_info(Message& message) {
  const auto asked = load<wire::RegionInfo>(message.payload);
  if (asked.argument_bytes < sizeof(wire::RegionInfo) || asked.index >= regions_.size()) {
    return std::unexpected(EINVAL);
  }
  const RegionInfo& region = regions_[asked.index];
  const std::uint32_t flags =
      (region.readable ? VFIO_REGION_INFO_FLAG_READ : 0U) | (region.writable ? VFIO_REGION_INFO_FLAG_WRITE : 0U);
  return store(reply_payload(), wire::RegionInfo{.argument_bytes = sizeof(wire::RegionInfo),
                                                 .flags = flags,
                                                 .index = asked.index,
                                                 .capability_offset = 0,
                                                 .size = region.size_bytes,
                                                 .offset = 0});
}

VfioUserSession::Answer VfioUserSession::irq_info(Message& message) {
  const auto asked = load<wire::IrqInfo>(message.payload);
  if (asked.argument_bytes < sizeof(wire::IrqInfo) || asked.index >= info_.irq_count) return std::unexpected(EINVAL);
  const IrqInfo irq = target_.irq(asked.index);
  return store(reply_payload(), wire::IrqInfo{.argument_bytes = sizeof(wire::IrqInfo),
                                              .flags = (irq.eventfd ? VFIO_IRQ_INFO_EVENTFD : 0U) |
                                                       (irq.automasked ? VFIO_IRQ_INFO_AUTOMASKED : 0U),
                                              .index = asked.index,
                                              .count = irq.count});
}

VfioUserSession::Answer VfioUserSession::set_irqs(Message& message) {
  const auto asked = load<wire::SetIrqs>(message.payload);
  const std::size_t given = message.descriptors.size();
  if (given != 0 && given != asked.count) {
    return violation(fmt::format("{} descriptors for {} interrupts", given, asked.count), EINVAL);
  }
  if (asked.argument_bytes < sizeof(wire::SetIrqs) || asked.index >= info_.irq_count) return std::unexpected(EINVAL);
  const std::uint32_t count_max = target_.irq(asked.index).count;
  if (asked.start > count_max || asked.count > count_max - asked.start) return std::unexpected(EINVAL);
  if ((asked.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER) return std::unexpected(EINVAL);

  const std::uint32_t data = asked.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  if (data == VFIO_IRQ_SET_DATA_NONE && given == 0) {
    return without_payload(asked.count == 0 ? target_.disable_irqs(asked.index)
                                            : target_.trigger_irqs(asked.index, asked.start, asked.count));
  }
  if (data == VFIO_IRQ_SET_DATA_EVENTFD && asked.count > 0) {
    message.descriptors.resize(asked.count);  // none given: they are taken away
    return without_payload(target_.set_irq_eventfds(asked.index, asked.start, std::move(message.descriptors)));
  }
  return std::unexpected(EINVAL);
}

VfioUserSession::Answer VfioUserSession::region_read(Message& message) {
  const auto asked = load<wire::RegionAccess>(message.payload);
  if (asked.region >= regions_.size() || asked.count > wire::kMaxTransferBytes) return std::unexpected(EINVAL);
  const RegionInfo& region = regions_[asked.region];
  if (!region.readable || asked.offset > region.size_bytes || asked.count > region.size_bytes - asked.offset) {
    return std::unexpected(EINVAL);
  }
  std::span<std::byte> payload = reply_payload();
  const std::size_t size = store(payload, asked);
  if (Reply<void> done = target_.read(asked.region, asked.offset, payload.subspan(size, asked.count)); !done) {
    return std::unexpected(done.error());
  }
  return size + asked.count;
}

VfioUserSession::Answer VfioUserSession::region_write(Message& message) {
  const auto asked = load<wire::RegionAccess>(message.payload);
  const auto data = message.payload.subspan(sizeof(asked));
  if (data.size() != asked.count) {
    return violation(fmt::format("region write of {} bytes came with {}", asked.count, data.size()), EINVAL);
  }
  if (asked.region >= regions_.size()) return std::unexpected(EINVAL);
  const RegionInfo& region = regions_[asked.region];
  if (!region.writable || asked.offset > region.size_bytes || asked.count > region.size_bytes - asked.offset) {
    return std::unexpected(EINVAL);
  }
  if (Reply<void> done = target_.write(asked.region, asked.offset, data); !done) return std::unexpected(done.error());
  return store(reply_payload(), asked);
}

VfioUserSession::Answer VfioUserSession::dma_map(Message& message) {
  const auto asked = load<wire::DmaMap>(message.payload);
  constexpr std::uint32_t kAccess = wire::kDmaReadable | wire::kDmaWritable;
  const std::uint64_t misaligned = (asked.address | asked.size | asked.offset) % wire::kPageBytes;
  if (asked.argument_bytes < sizeof(wire::DmaMap) || (asked.flags & ~kAccess) != 0 || (asked.flags & kAccess) == 0 ||
      asked.size == 0 || misaligned != 0 || wraps(asked.address, asked.size) || wraps(asked.offset, asked.size)) {
    return std::unexpected(EINVAL);
  }
  UniqueFd memory = message.descriptors.empty() ? UniqueFd() : std::move(message.descriptors.front());
  return without_payload(target_.dma_map(Iova{asked.address}, asked.size, std::move(memory), asked.offset,
                                         static_cast<DmaAccess>(asked.flags & kAccess)));
}

VfioUserSession::Answer VfioUserSession::dma_unmap(Message& message) {
  const auto asked = load<wire::DmaUnmap>(message.payload);
  if (asked.argument_bytes < sizeof(wire::DmaUnmap) || (asked.flags & ~wire::kDmaUnmapAll) != 0) {
    return std::unexpected(EINVAL);
  }
  if ((asked.flags & wire::kDmaUnmapAll) != 0) {
    if (asked.address != 0 || asked.size != 0) return std::unexpected(EINVAL);
    target_.dma_unmap_all();
  } else if (Reply<void> done = target_.dma_unmap(Iova{asked.address}, asked.size); !done) {
    return std::unexpected(done.error());
  }
  return store(reply_payload(), asked);
}

VfioUserSession::Answer VfioUserSession::device_reset(Message&) {
  if (!info_.can_reset) return std::unexpected(ENOTSUP);
  return without_payload(target_.reset());
}

bool refuse_peer(int socket, std::span<const std::byte> request, int error_number) noexcept {
  if (request.size() < sizeof(wire::Header)) return false;
  auto header = load<wire::Header>(request);
  if (!check_header(header)) return false;
  header.message_bytes = sizeof(header);
  header.flags = wire::kFlagReply | wire::kFlagError;
  header.error_number = static_cast<std::uint32_t>(error_number);
  return ::send(socket, &header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(sizeof(header));
}

}  // namespace warden::vfio
