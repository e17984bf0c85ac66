// SPDX-License-Identifier: Apache-2.0
// All sessions: numbers and slots, their rows in the directory, and what the keeper keeps of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <warden/result.h>

#include "shm/directory.h"
#include "tools/wardend/keeper_link.h"
#include "tools/wardend/session.h"

namespace warden::daemon {

// Threads: any. Sessions are shared pointers, so whoever holds one may go on using its descriptors after its end.
class SessionTable {
 public:
  SessionTable(shm::DirectoryWriter& directory, KeeperLink& keeper) : directory_(directory), keeper_(keeper) {}

  struct Place {
    std::uint64_t id = 0;
    std::uint32_t slot = 0;
  };
  // A number that was never used and a free slot; kBusy when all slots are taken. The place is held until add() or
  // release().
  [[nodiscard]] Result<Place> reserve();
  void release(const Place& place);

  // Writes the session's row. The keeper has been told before.
  void add(const std::shared_ptr<Session>& session);
  // Its process has begun to die: the row says so until it is freed. Threads: any, as all of this.
  void mark_dead(const Session& session);
  [[nodiscard]] bool is_marked_dead(const Session& session) const;
  // Frees its row and lets the keeper forget it; also the slot, unless somebody may still write about it.
  void remove(const Session& session, bool free_slot = true);
  [[nodiscard]] std::shared_ptr<Session> find(std::uint64_t id) const;
  [[nodiscard]] std::vector<std::shared_ptr<Session>> all() const;

  // What a new worker finds: sessions from the keeper, numbers already used. Rows nobody kept are freed.
  void restore(KeptTable& kept);

  // Which devices the session listens to; 0: none.
  void listen(const Session& session, std::uint64_t device_mask);
  [[nodiscard]] std::uint64_t listens_to(const Session& session) const;
  // Calls `visit` for every session that listens to one of these devices; nobody starts or stops listening meanwhile.
  void for_each_listener(std::uint64_t device_mask,
                         const std::function<void(const std::shared_ptr<Session>&, shm::ListenerRecord&)>& visit);

 private:
  void write_row(const Session& session);
  void clear_row(std::uint32_t slot);

  shm::DirectoryWriter& directory_;
  KeeperLink& keeper_;
  mutable std::mutex mutex_;
  std::uint64_t next_id_ = 1;
  std::vector<bool> taken_ = std::vector<bool>(shm::kSessionCapacity, false);
  std::map<std::uint64_t, std::shared_ptr<Session>> sessions_;
};

}  // namespace warden::daemon
