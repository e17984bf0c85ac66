// SPDX-License-Identifier: Apache-2.0
// A real warden-sim in a directory of its own, and a client that speaks vfio-user byte by byte, so that it can also
// speak it wrongly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <warden/unique_fd.h>

#include "driver/vfio/vfio_user_wire.h"
#include "tests/support/process.h"

namespace warden::sim::testing {

using test::TemporaryDirectory;

struct Finished {
  int status = -1;  // exit status, or 128 and the signal
  std::string output;
  std::string errors;
};
// Runs warden-sim to its end.
[[nodiscard]] Finished run_sim(std::vector<std::string> arguments);

// Ready when constructed; ended with SIGTERM. The test fails where either does not work.
class SimProcess {
 public:
  explicit SimProcess(std::vector<std::string> arguments = {}) : SimProcess("", std::move(arguments)) {}
  SimProcess(const std::string& directory, std::vector<std::string> arguments);
  SimProcess(const SimProcess&) = delete;
  SimProcess& operator=(const SimProcess&) = delete;
  ~SimProcess();

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] std::string socket(unsigned chip) const {
    return directory_ + "/chip" + std::to_string(chip) + ".sock";
  }
  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }
  // All it has printed and logged, to be shown where a check fails.
  [[nodiscard]] std::string output() { return process_.output(); }
  // `warden-sim ctl` against it; fails the test if that fails. Gives what it prints.
  std::string ctl(std::vector<std::string> arguments) const;
  // Sends the signal and gives the exit status.
  int end(int signal_number);
  // Until this text was logged, after what the last call found.
  void await_log(const std::string& text);

 private:
  TemporaryDirectory own_directory_;
  std::string directory_;
  test::Process process_;
};

struct WireReply {
  vfio::wire::Header header{};
  std::vector<std::byte> payload;
};

// Blocking, with a deadline of some seconds on everything.
class WireClient {
 public:
  explicit WireClient(const std::string& path);

  void send_bytes(std::span<const std::byte> bytes, const std::vector<int>& descriptors = {});
  // Nothing once the server has closed the connection.
  [[nodiscard]] std::optional<WireReply> receive();
  [[nodiscard]] bool closed();
  void close() { socket_.reset(); }

  // One well-formed request.
  void send(vfio::wire::Command command, std::span<const std::byte> payload, std::uint32_t flags = 0,
            const std::vector<int>& descriptors = {});
  [[nodiscard]] std::optional<WireReply> ask(vfio::wire::Command command, std::span<const std::byte> payload = {},
                                             const std::vector<int>& descriptors = {});
  // Negotiates; false if refused.
  bool hello(const std::string& json = R"({"capabilities":{"max_msg_fds":8}})");

  std::uint32_t read32(std::uint32_t region, std::uint64_t offset);
  void write32(std::uint32_t region, std::uint64_t offset, std::uint32_t value);

 private:
  UniqueFd socket_;
  std::uint16_t next_id_ = 1;
};

template <typename T>
std::vector<std::byte> bytes_of(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

}  // namespace warden::sim::testing
