// SPDX-License-Identifier: Apache-2.0
// An unmodified client of the allocation server, written from the layout alone: bytes at offsets, over a plain socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <warden/unique_fd.h>

#include "tests/support/process.h"

namespace warden::test {

// Message types.
inline constexpr std::uint8_t kAlloc = 1;
inline constexpr std::uint8_t kFree = 2;
inline constexpr std::uint8_t kQuery = 3;
inline constexpr std::uint8_t kResponse = 4;
inline constexpr std::uint8_t kDumpRemaining = 5;
inline constexpr std::uint8_t kDeviceInfoQuery = 6;
inline constexpr std::uint8_t kDeviceInfoResponse = 7;
inline constexpr std::uint8_t kCbAlloc = 8;
inline constexpr std::uint8_t kCbFree = 9;
inline constexpr std::uint8_t kKernelLoad = 10;
inline constexpr std::uint8_t kKernelUnload = 11;

struct AllocationFields {
  std::uint8_t type = 0;
  std::int32_t device = 0;
  std::uint64_t size = 0;
  std::uint8_t buffer_type = 0;
  std::int32_t process_id = 0;
  std::uint64_t buffer_id = 0;
  std::uint64_t timestamp = 0;
};
// The rest cleared, as clients do. `size_bytes`: 112 or 144.
[[nodiscard]] std::string allocation_message(const AllocationFields& fields, std::size_t size_bytes);

// A message as it came.
class AllocationReply {
 public:
  explicit AllocationReply(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::uint8_t type() const { return static_cast<std::uint8_t>(bytes_.at(0)); }
  [[nodiscard]] std::int32_t device() const { return static_cast<std::int32_t>(u32(4)); }
  [[nodiscard]] std::uint64_t size() const { return u64(8); }
  [[nodiscard]] std::int32_t process_id() const { return static_cast<std::int32_t>(u32(20)); }
  [[nodiscard]] std::uint64_t buffer_id() const { return u64(24); }
  [[nodiscard]] std::uint32_t u32(std::size_t offset) const;
  [[nodiscard]] std::uint64_t u64(std::size_t offset) const;
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

struct AllocationDump {
  std::vector<AllocationReply> records;
  std::optional<AllocationReply> end;  // nothing: it was cut short
};

class AllocationPeer {
 public:
  AllocationPeer(const std::string& path, std::size_t message_bytes);
  [[nodiscard]] bool is_connected() const { return static_cast<bool>(socket_); }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] std::size_t message_bytes() const { return message_bytes_; }
  // False: the server has hung up.
  bool send(const AllocationFields& fields) { return send_bytes(allocation_message(fields, message_bytes_)); }
  bool send_bytes(const std::string& bytes);
  // The next message; nothing at the end or at the deadline.
  [[nodiscard]] std::optional<AllocationReply> read();
  [[nodiscard]] std::optional<AllocationReply> ask(const AllocationFields& question);
  [[nodiscard]] AllocationDump dump();
  // True once the server has hung up.
  [[nodiscard]] bool is_dropped();

 private:
  std::size_t message_bytes_;
  UniqueFd socket_;
};

// wardend with the allocation server and no cards.
class AllocationHost {
 public:
  explicit AllocationHost(const std::string& log_level = "info");
  [[nodiscard]] std::string path() const { return directory_.path() + "/allocations.sock"; }
  [[nodiscard]] Process& daemon() { return *daemon_; }
  [[nodiscard]] const std::string& directory() const { return directory_.path(); }
  [[nodiscard]] int worker_pid() const;
  // SIGKILL, and the next one serves.
  void replace_worker();
  [[nodiscard]] AllocationDump dump(std::size_t message_bytes = 144) const {
    return AllocationPeer(path(), message_bytes).dump();
  }

 private:
  TemporaryDirectory directory_;
  std::optional<Process> daemon_;
};

// A forked process that runs `work` and then waits to be killed; it has written a byte when the work is done.
class ClientProcess {
 public:
  template <typename Work>
  explicit ClientProcess(Work work) {
    begin();
    if (pid_ == 0) {
      work();
      work_is_done();
    }
  }
  ClientProcess(const ClientProcess&) = delete;
  ClientProcess& operator=(const ClientProcess&) = delete;
  ~ClientProcess() { kill(); }
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] bool wait_until_done() const;
  void kill();
  // Dead, and its parent does not ask.
  void kill_and_leave_zombie() const;

 private:
  void begin();
  [[noreturn]] void work_is_done() const;
  int pid_ = -1;
  UniqueFd done_;
  UniqueFd tell_;
};

}  // namespace warden::test
