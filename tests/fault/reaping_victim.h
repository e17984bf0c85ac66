// SPDX-License-Identifier: Apache-2.0
// Clients made to be killed, and what wardend says of them.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <warden/allocation_ledger.h>

#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "tests/e2e/wardend_stack.h"

namespace warden::test {

// A forked process that has done its work when the constructor returns and then waits to be killed.
class Victim {
 public:
  explicit Victim(const std::function<bool()>& work) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const char ready = work() ? 'y' : 'n';
      (void)!::write(ends[1], &ready, 1);
      for (;;) ::pause();
    }
    ::close(ends[1]);
    char ready = 0;
    is_ready_ = ::read(ends[0], &ready, 1) == 1 && ready == 'y';
    ::close(ends[0]);
  }
  Victim(Victim&& other) noexcept : pid_(std::exchange(other.pid_, -1)), is_ready_(other.is_ready_) {}
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  Victim& operator=(Victim&&) = delete;
  ~Victim() { kill(); }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool is_ready() const noexcept { return is_ready_; }
  void signal(int number) const { ::kill(pid_, number); }
  void kill() {
    if (pid_ <= 0) return;
    signal(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  bool is_ready_ = false;
};

// Attaches and records; what it returns keeps the session alive.
struct Holder {
  std::shared_ptr<Session> session;
  std::unique_ptr<AllocationLedger> ledger;
};
inline Holder hold(const std::string& socket, std::uint64_t records, std::uint64_t bytes_each) {
  Holder holder;
  auto session = Session::attach({.socket_path = socket, .name = "victim"});
  if (!session) return holder;
  auto ledger = AllocationLedger::open(*session);
  if (!ledger) return holder;
  for (std::uint64_t i = 0; i < records; ++i) {
    if (!(*ledger)->record(0, AllocationKind::kDram, i * bytes_each, bytes_each, i)) return holder;
  }
  holder = {*session, std::move(*ledger)};
  return holder;
}

inline nlohmann::json status_of(Session& session) {
  const auto text = session.status_json();
  EXPECT_TRUE(text) << text.error().message;
  return text ? nlohmann::json::parse(*text) : nlohmann::json();
}

inline nlohmann::json allocations_of(Session& session, const AllocationFilter& filter = {}) {
  const auto text = session.allocations_json(filter);
  EXPECT_TRUE(text) << text.error().message;
  return text ? nlohmann::json::parse(*text) : nlohmann::json();
}

}  // namespace warden::test
