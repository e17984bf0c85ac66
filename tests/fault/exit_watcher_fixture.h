// SPDX-License-Identifier: Apache-2.0
// Processes that are watched and die, and a watcher with a given mechanism, or the reason why there is none here.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <warden/unique_fd.h>

#include "bpf/exit_watcher.h"

namespace warden::test {

// A forked process that runs `body` and ends with its end. Killed and reaped with the object.
class Victim {
 public:
  struct Options {
    bool own_pid_namespace = false;
  };
  explicit Victim(const std::function<void()>& body, const Options& options);
  explicit Victim(const std::function<void()>& body) : Victim(body, Options{}) {}
  Victim(Victim&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  Victim& operator=(Victim&&) = delete;
  ~Victim();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
  void kill() const;
  // Waits until all its threads are gone; it stays a zombie.
  void await_end() const;
  void reap();
  // The letter of /proc/PID/stat.
  [[nodiscard]] char state() const;

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// A byte-wide gate between processes: whoever waits goes on when it is opened, all of them, also those who come later.
class Gate {
 public:
  Gate();
  void wait() const;
  void open();
  // Becomes the program exit_victim, which waits for this gate.
  [[noreturn]] void execute_victim(std::vector<std::string> arguments) const;

 private:
  UniqueFd read_;
  UniqueFd write_;
};

// Bodies of victims.
void sleep_for_ever();
// Starts threads that sleep; calls `ready` when they all run.
void sleep_in_threads(int count, const std::function<void()>& ready);

class ExitWatcherTest : public testing::TestWithParam<bpf::Mechanism> {
 protected:
  void SetUp() override { open({}); }
  // Skips where the mechanism does not load.
  void open(bpf::Options options);
  void watch(std::uint64_t id, int pidfd, std::uint32_t slot = bpf::kNoSlot);
  // What is there without waiting.
  [[nodiscard]] std::vector<bpf::Death> take() const;
  // Until there are so many; fewer, with a failure, at the deadline.
  [[nodiscard]] std::vector<bpf::Death> await(std::size_t count) const;
  // Exactly this one, and no other.
  bpf::Death expect_death(std::uint64_t id) const;
  // Nothing to take, and nothing that wakes who waits for something to take.
  void expect_quiet() const;
  // Only a miss that the kernel admits may leave it to the pidfd.
  void expect_by_hook(const bpf::Death& death) const;

  std::unique_ptr<bpf::ExitWatcher> watcher_;
};

// Every mechanism, by name.
[[nodiscard]] inline auto all_mechanisms() {
  return testing::Values(bpf::Mechanism::kTpBtf, bpf::Mechanism::kFentry, bpf::Mechanism::kTracepoint,
                         bpf::Mechanism::kPidfd);
}

}  // namespace warden::test
