// SPDX-License-Identifier: Apache-2.0
// Messages by hand, so that they can be wrong.
#include "tests/fault/driver_scripted_server.h"

#include <linux/vfio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace warden::testing {

namespace wire = vfio::wire;

namespace {

constexpr std::uint32_t kRegions = VFIO_PCI_NUM_REGIONS;
constexpr std::uint32_t kIrqs = VFIO_PCI_NUM_IRQS;

std::span<const std::byte> bytes_of(const auto& object) { return std::as_bytes(std::span(&object, 1)); }

wire::Header header_of_reply(const Received& request, std::size_t payload_bytes) {
  return {request.header.message_id, request.header.command,
          static_cast<std::uint32_t>(sizeof(wire::Header) + payload_bytes), wire::kFlagReply, 0};
}

bool receive_all(int fd, void* into, std::size_t size) {
  return size == 0 || ::recv(fd, into, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

}  // namespace

Received Peer::receive() {
  Received request;
  request.ended = !receive_all(fd_, &request.header, sizeof(request.header));
  if (request.ended) return request;
  request.payload.resize(request.header.message_bytes - sizeof(request.header));
  request.ended = !receive_all(fd_, request.payload.data(), request.payload.size());
  return request;
}

void Peer::send_raw(std::span<const std::byte> bytes) { (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

void Peer::send(const wire::Header& header, std::span<const std::byte> payload) {
  std::vector<std::byte> message(sizeof(header) + payload.size());
  std::memcpy(message.data(), &header, sizeof(header));
  if (!payload.empty()) std::memcpy(message.data() + sizeof(header), payload.data(), payload.size());
  send_raw(message);
}

void Peer::reply(const Received& request, std::span<const std::byte> payload,
                 const std::function<void(wire::Header&)>& change) {
  wire::Header header = header_of_reply(request, payload.size());
  if (change) change(header);
  send(header, payload);
}

void Peer::reply_with_fd(const Received& request, std::span<const std::byte> payload, int fd) {
  wire::Header header = header_of_reply(request, payload.size());
  std::vector<std::byte> body(payload.begin(), payload.end());
  std::array<iovec, 2> parts{{{&header, sizeof(header)}, {body.data(), body.size()}}};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* passed = CMSG_FIRSTHDR(&message);
  passed->cmsg_level = SOL_SOCKET;
  passed->cmsg_type = SCM_RIGHTS;
  passed->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(passed), &fd, sizeof(fd));
  (void)::sendmsg(fd_, &message, MSG_NOSIGNAL);
}

void Peer::reply_error(const Received& request, std::uint32_t error_number) {
  reply(request, {}, [&](wire::Header& header) {
    header.flags |= wire::kFlagError;
    header.error_number = error_number;
  });
}

void Peer::reply_version(const Received& request, const std::string& json, std::uint16_t major) {
  const wire::Version version{major, 1};
  std::vector<std::byte> payload(sizeof(version) + json.size() + 1);
  std::memcpy(payload.data(), &version, sizeof(version));
  std::memcpy(payload.data() + sizeof(version), json.c_str(), json.size() + 1);
  reply(request, payload);
}

void Peer::serve_information(bool with_version, const std::function<void(const Received&)>& answer_region) {
  if (with_version) reply_version(receive(), R"({"capabilities":{"max_msg_fds":8,"strange":[1,{"x":null}]}})");
  const wire::DeviceInfo info{sizeof(info), VFIO_DEVICE_FLAGS_RESET, kRegions, kIrqs};
  reply(receive(), bytes_of(info));
  for (std::uint32_t index = 0; index < kRegions; ++index) {
    if (index == 0 && answer_region) {
      answer_region(receive());
      continue;
    }
    const std::uint64_t size = index == 0 ? 1 << 20 : 0;
    const wire::RegionInfo region{sizeof(region), 3, index, 0, size, 0};
    reply(receive(), bytes_of(region));
  }
  for (std::uint32_t index = 0; index < kIrqs; ++index) {
    const wire::IrqInfo irq{sizeof(irq), VFIO_IRQ_INFO_EVENTFD, index, 1};
    reply(receive(), bytes_of(irq));
  }
}

void Peer::reply_access(const Received& request) {
  wire::RegionAccess access{};
  std::memcpy(&access, request.payload.data(), sizeof(access));
  const bool reads = request.header.command == static_cast<std::uint16_t>(wire::Command::kRegionRead);
  std::vector<std::byte> payload(sizeof(access) + (reads ? access.count : 0), std::byte{0x5A});
  std::memcpy(payload.data(), &access, sizeof(access));
  reply(request, payload);
}

ScriptedServer::ScriptedServer(std::function<void(Peer&)> script) {
  char pattern[] = "/tmp/warden-scripted-XXXXXX";
  if (::mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
  directory_ = pattern;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (directory_ + "/s").c_str(), sizeof(address.sun_path) - 1);
  listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener_.get(), 1) != 0) {
    throw std::runtime_error("listen");
  }
  thread_ = std::thread([this, script = std::move(script)] {
    connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection_) return;
    Peer peer(connection_.get());
    script(peer);
    ::shutdown(connection_.get(), SHUT_RDWR);
  });
}

ScriptedServer::ScriptedServer(UniqueFd connection, std::function<void(Peer&)> script)
    : connection_(std::move(connection)) {
  thread_ = std::thread([this, script = std::move(script)] {
    Peer peer(connection_.get());
    script(peer);
    ::shutdown(connection_.get(), SHUT_RDWR);
  });
}

ScriptedServer::~ScriptedServer() {
  if (listener_) ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
  if (directory_.empty()) return;
  ::unlink((directory_ + "/s").c_str());
  ::rmdir(directory_.c_str());
}

}  // namespace warden::testing
