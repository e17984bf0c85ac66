// SPDX-License-Identifier: Apache-2.0
// Packets of the session protocol over a SOCK_SEQPACKET socket, with descriptors.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/message.h"

namespace warden::shm {

struct Packet {
  Header header{};
  std::vector<std::byte> body;  // everything after the header
  std::vector<UniqueFd> fds;
};

enum class SocketType : std::uint8_t { kPackets, kStream };

// A listening socket at `path`: a stale socket file is replaced, one that answers is kBusy, its folder must exist.
// Mode 0666: who may do what is decided by who connects.
[[nodiscard]] Result<UniqueFd> listen_at(const std::string& path, SocketType type = SocketType::kPackets);
[[nodiscard]] Result<UniqueFd> connect_to(const std::string& path);

// Header, body and tail as one packet. Never blocks: kBusy when the peer's queue is full, kDisconnected when it is
// gone.
[[nodiscard]] Status send_packet(int socket, const Header& header, std::span<const std::byte> body = {},
                                 std::span<const std::byte> tail = {}, std::span<const int> fds = {});

// The next packet within `timeout` (zero: only what is there now). kTimeout: none came; kDisconnected: the peer hung
// up; kProtocol: wrong magic or version, truncated, oversized, too many descriptors (which are closed).
[[nodiscard]] Result<Packet> receive_packet(int socket, std::chrono::milliseconds timeout);

// Reads a fixed body from the front of a packet: kProtocol when it is shorter.
template <typename Body>
[[nodiscard]] Result<Body> body_of(const Packet& packet);

[[nodiscard]] Header request_header(MessageKind kind, std::uint32_t request) noexcept;
[[nodiscard]] Header reply_header(std::uint32_t request, std::uint32_t code) noexcept;

template <typename Body>
Result<Body> body_of(const Packet& packet) {
  static_assert(std::is_trivially_copyable_v<Body>);
  if (packet.body.size() < sizeof(Body)) {
    return fail(Code::kProtocol, "message of kind " + std::to_string(packet.header.kind) + " holds " +
                                     std::to_string(packet.body.size()) + " bytes of body, at least " +
                                     std::to_string(sizeof(Body)) + " were expected");
  }
  Body body;
  std::memcpy(&body, packet.body.data(), sizeof(Body));
  return body;
}

}  // namespace warden::shm
