// SPDX-License-Identifier: Apache-2.0
// Cards that could not be proven quiet after a session's end, each until its next reset. The keeper keeps the list.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "tools/wardend/keeper_link.h"
#include "tools/wardend/session.h"

namespace warden::daemon {

struct QuarantineEntry {
  int pid = 0;
  std::string name;         // of the process
  std::string reason;       // what was awaited and what was last seen
  std::uint64_t epoch = 0;  // of the device then: a good reset moves it on
};

// Threads: the main loop.
class Quarantine {
 public:
  using Key = std::pair<std::uint32_t, std::uint64_t>;  // device and session

  explicit Quarantine(KeeperLink& keeper) noexcept : keeper_(keeper) {}
  // What a predecessor put there.
  void restore(const KeptTable& kept);

  void add(std::uint32_t device, std::uint64_t session_id, QuarantineEntry entry);
  [[nodiscard]] bool contains(std::uint32_t device, std::uint64_t session_id) const {
    return entries_.contains({device, session_id});
  }
  // The card is good, in this epoch. Answers how many entries that ended.
  std::size_t lift(std::uint32_t device, std::uint64_t epoch);
  [[nodiscard]] const std::map<Key, QuarantineEntry>& entries() const noexcept { return entries_; }

 private:
  KeeperLink& keeper_;
  std::map<Key, QuarantineEntry> entries_;
};

}  // namespace warden::daemon
