// SPDX-License-Identifier: Apache-2.0
// Telling everybody: the directory's event ring behind a lock, and a byte for those who poll a descriptor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "shm/directory.h"
#include "tools/wardend/session.h"

namespace warden::daemon {

// Threads: any.
class EventBoard {
 public:
  explicit EventBoard(shm::DirectoryWriter& directory) : directory_(directory) {}

  // All told at once: whoever waits is woken once.
  void publish(std::span<const shm::EventDraft> drafts);
  void publish(const shm::EventDraft& draft) { publish(std::span(&draft, 1)); }
  // Sessions with a notification socket; others are ignored.
  void add_pollable(const std::shared_ptr<Session>& session);
  void remove_pollable(std::uint64_t session_id);

 private:
  shm::DirectoryWriter& directory_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Session>> pollable_;
};

}  // namespace warden::daemon
