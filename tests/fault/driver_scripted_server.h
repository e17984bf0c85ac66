// SPDX-License-Identifier: Apache-2.0
// A vfio-user server that does exactly what a test tells it, on a thread of its own; by default it opens like a card.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <warden/unique_fd.h>

#include "driver/vfio/vfio_user_wire.h"

namespace warden::testing {

struct Received {
  vfio::wire::Header header{};
  std::vector<std::byte> payload;
  bool ended = false;  // the client has gone
};

// The server's end of one connection.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  Received receive();
  void send_raw(std::span<const std::byte> bytes);
  void send(const vfio::wire::Header& header, std::span<const std::byte> payload);
  // A good reply to `request`; `change` may spoil its header first.
  void reply(const Received& request, std::span<const std::byte> payload,
             const std::function<void(vfio::wire::Header&)>& change = {});
  void reply_with_fd(const Received& request, std::span<const std::byte> payload, int fd);
  void reply_error(const Received& request, std::uint32_t error_number);
  // VERSION with these capabilities.
  void reply_version(const Received& request, const std::string& json, std::uint16_t major = 0);
  // Answers everything until all regions and interrupts have been told: what open() asks. Region 0 has 1 MiB.
  // `answer_region`: who answers the request about region 0 instead.
  void serve_information(bool with_version, const std::function<void(const Received&)>& answer_region = {});
  // A good reply to REGION_READ (bytes of value 0x5A) or REGION_WRITE.
  void reply_access(const Received& request);

 private:
  int fd_;
};

class ScriptedServer {
 public:
  // Listens on `path()`, takes one client and runs the script.
  explicit ScriptedServer(std::function<void(Peer&)> script);
  // Runs the script on this end of a connected pair.
  ScriptedServer(UniqueFd connection, std::function<void(Peer&)> script);
  ~ScriptedServer();
  [[nodiscard]] std::string name() const { return "vfio-user:" + directory_ + "/s"; }

 private:
  std::string directory_;
  UniqueFd listener_;
  UniqueFd connection_;
  std::thread thread_;
};

}  // namespace warden::testing
