// SPDX-License-Identifier: Apache-2.0
// A real wardend whose reaping is measured by what it says itself, so that nobody is woken to look: its status has the
// moment in which the newest marking was done (the dead out of all totals, nothing owed by them, what they held known),
// and the event that a session was closed has the moment in which it was released.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include <warden/events.h>
#include <warden/result.h>
#include <warden/session.h>

#include "tests/support/host.h"

namespace warden::bench {

// By now_ns().
struct ReapTimes {
  std::uint64_t marked_ns = 0;    // the last of them
  std::uint64_t released_ns = 0;  // the last of them
};

class ReapHost {
 public:
  // kUnsupported: no BPF program can be loaded here.
  [[nodiscard]] static Result<std::unique_ptr<ReapHost>> start();

  [[nodiscard]] std::string socket_path() const { return host_.socket_path(); }
  // Before any of `count` clients is killed.
  [[nodiscard]] Status begin(std::size_t count);
  // When they were marked and released: each of them, once, and nothing of theirs is counted any more.
  [[nodiscard]] Result<ReapTimes> end();

 private:
  struct State {
    std::string mechanism;
    std::uint64_t marked = 0;
    std::uint64_t last_marked_ns = 0;
    std::uint64_t sessions = 0;
    std::uint64_t records = 0;
  };
  [[nodiscard]] Result<State> state();

  test::Host host_;
  std::shared_ptr<Session> session_;
  std::unique_ptr<EventStream> events_;
  std::size_t count_ = 0;
  std::uint64_t marked_before_ = 0;
};

// In a client that is to die: attaches and records so many allocations. Its session lives as long as the process.
[[nodiscard]] bool attach_and_record(const std::string& socket_path, std::uint32_t record_count);
// The same, with something to be cleaned of it: a core that runs and is to be held, a word to be written, DMA memory.
[[nodiscard]] bool attach_and_use_card(const std::string& socket_path);

}  // namespace warden::bench
