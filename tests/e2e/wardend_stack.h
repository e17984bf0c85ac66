// SPDX-License-Identifier: Apache-2.0
// What wardend's tests share: a host with sessions of the test's own, and a client below libwarden.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include <warden/session.h>
#include <warden/unique_fd.h>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/socket.h"
#include "tests/support/host.h"

namespace warden::test {

// A host whose start must work, and what these tests ask of it.
class Stack : public Host {
 public:
  struct Options {
    std::string board = "n150";
    std::uint32_t card_count = 1;
    int reset_duration_ms = 100;
    std::vector<std::string> daemon_arguments = {};
  };
  explicit Stack(const Options& options);
  Stack() : Stack(Options()) {}

  // Again, after the daemon was stopped or killed.
  void start_daemon();
  void stop_daemon();  // SIGTERM, and its end awaited

  [[nodiscard]] std::string card_name() const { return "vfio-user:" + directory() + "/sim/chip0.sock"; }
  [[nodiscard]] std::string daemon_log() { return daemon().output(); }
  [[nodiscard]] std::shared_ptr<Session> attach(const std::string& name = "test") const;
  void set_fault(const std::string& name) const;
  // What `warden-sim ctl` says of a card.
  [[nodiscard]] nlohmann::json card_status(std::size_t index = 0) const { return card("status", index); }
  [[nodiscard]] nlohmann::json card_stats(std::size_t index = 0) const { return card("stats", index); }

 private:
  [[nodiscard]] nlohmann::json card(const std::string& what, std::size_t index) const;

  std::vector<std::string> daemon_arguments_;
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
