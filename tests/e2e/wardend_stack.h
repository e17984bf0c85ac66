// SPDX-License-Identifier: Apache-2.0
// A simulator and a daemon of a test's own, as real processes in a directory of their own, gone when the test is.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include <warden/session.h>
#include <warden/unique_fd.h>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/socket.h"

namespace warden::test {

inline constexpr std::chrono::seconds kDeadline{60};  // of waits that must not fail: generous, and the test does

// Waits until `holds()` does, with a deadline; for things of other processes that tell nobody.
template <typename Condition>
[[nodiscard]] bool eventually(Condition holds) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(1000);
  }
  return true;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct SpawnOptions {
  std::string stderr_path = {};  // empty: the test's
  bool with_ready_fd = false;
  std::uint32_t user_id = 0;  // 0: the test's
};

// A child that dies with its object, or with the test.
class Process {
 public:
  Process() = default;
  explicit Process(const std::vector<std::string>& command, const SpawnOptions& options = {});
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  [[nodiscard]] int pid() const { return pid_; }
  // The next line of its standard output (or of its ready descriptor); nothing at the end or after the deadline.
  [[nodiscard]] std::optional<std::string> read_line();
  void signal(int number) const;
  // Its wait status, once it has ended; kills it when the deadline passes.
  int wait();
  [[nodiscard]] int exit_status();

 private:
  int pid_ = -1;
  std::optional<int> status_;
  UniqueFd output_;
  std::string text_;
};

class Stack {
 public:
  struct Options {
    std::string board = "n150";
    std::uint32_t card_count = 1;
    int reset_duration_ms = 100;
    std::vector<std::string> daemon_arguments = {};
  };
  explicit Stack(Options options);
  Stack() : Stack(Options()) {}

  // Again, after the daemon was stopped or killed.
  void start_daemon();
  void stop_daemon();  // SIGTERM, and its end awaited

  [[nodiscard]] std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  [[nodiscard]] std::string socket_path() const { return path("w.sock"); }
  [[nodiscard]] std::string card_name(int index = 0) const;
  [[nodiscard]] Process& daemon() { return daemon_; }
  [[nodiscard]] std::vector<std::string> daemon_command() const;
  [[nodiscard]] std::string daemon_log() const;
  [[nodiscard]] std::shared_ptr<Session> attach(const std::string& name = "test") const;
  // `warden-sim ctl`.
  nlohmann::json simulator(const nlohmann::json& request) const;
  [[nodiscard]] nlohmann::json card_stats(int index = 0) const;

 private:
  Options options_;
  TemporaryDirectory directory_;
  Process simulator_;
  Process daemon_;
};

// A client below libwarden: sends what it likes, keeps what it gets.
class RawClient {
 public:
  explicit RawClient(const std::string& socket_path);
  // Hello and Welcome; false when refused.
  [[nodiscard]] bool greet();
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] const shm::Welcome& welcome() const { return welcome_; }
  [[nodiscard]] shm::DirectoryReader& directory() { return *directory_; }
  [[nodiscard]] shm::LedgerWriter& ledger() { return *ledger_; }
  [[nodiscard]] shm::DoorbellMemory& doorbell() { return *doorbell_; }
  // All the memory this client can write, as descriptors.
  [[nodiscard]] int ledger_fd() const { return ledger_fd_.get(); }
  [[nodiscard]] int doorbell_fd() const { return doorbell_fd_.get(); }
  // True once wardend has closed the connection.
  [[nodiscard]] bool is_dropped();

 private:
  UniqueFd socket_;
  shm::Welcome welcome_{};
  UniqueFd ledger_fd_;
  UniqueFd doorbell_fd_;
  std::optional<shm::DirectoryReader> directory_;
  std::optional<shm::LedgerWriter> ledger_;
  std::optional<shm::DoorbellMemory> doorbell_;
};

}  // namespace warden::test
