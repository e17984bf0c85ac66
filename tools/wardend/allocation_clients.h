// SPDX-License-Identifier: Apache-2.0
// The bridged processes and their books. Records belong to a process, not to a connection: one that connects again
// goes on with its book, and one that hangs up and lives keeps it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/peer.h"
#include "tools/wardend/allocation_book.h"
#include "tools/wardend/keeper_link.h"
#include "tools/wardend/reaping_log.h"

namespace warden::daemon {

struct AllocationClient {
  std::uint64_t id = 0;
  int pid = 0;  // as we see it; 0: it has no number in our PID namespace
  std::uint32_t user_id = 0;
  std::uint64_t start_time_ns = 0;
  std::string name;
  UniqueFd pidfd;  // empty where the kernel can't give one: then its last connection is its life
  AllocationBook book;
  int reported_pid = 0;           // what its messages say; only shown
  std::uint64_t refused = 0;      // records there was no room for
  std::uint32_t connections = 0;  // open now

  // The number to show: ours, else the only one there is.
  [[nodiscard]] int shown_pid() const noexcept { return pid != 0 ? pid : reported_pid; }
};

// Owner: the worker's main loop. Not thread-safe. References stay valid until the client is removed.
class AllocationClients {
 public:
  using Table = std::map<std::uint64_t, AllocationClient>;

  // Of one user all together: nobody's records may fill the memory that everybody's need.
  static constexpr std::uint64_t kMaxRecordsOfUser = 4ULL << 20;

  explicit AllocationClients(KeeperLink& keeper) : keeper_(keeper) {}

  // The process at the other end of a socket: known already, or from now on. kDisconnected: it is dead.
  [[nodiscard]] Result<AllocationClient*> admit(int socket);
  [[nodiscard]] AllocationClient* find(std::uint64_t id) noexcept;
  [[nodiscard]] const Table& all() const noexcept { return clients_; }

  // Records what a request says, or logs, once a client, why not; an error: the peer talks nonsense.
  [[nodiscard]] Status apply(AllocationClient& client, const AllocationRequest& request, std::uint32_t tag,
                             const std::function<void()>& mark_done);
  // The client and all its records are gone; the answer is what they were.
  ReapedProcess remove(std::uint64_t id);
  // What the keeper has; `mark_done` is called for a message that a killed predecessor had applied.
  void restore(KeptTable& kept, const std::function<void(std::uint32_t tag)>& mark_done);

 private:
  [[nodiscard]] AllocationClient* find_process(const shm::Peer& peer) noexcept;
  [[nodiscard]] Result<AllocationClient*> add(shm::Peer peer);

  KeeperLink& keeper_;
  Table clients_;
  std::map<std::uint32_t, std::uint64_t> records_of_user_;
  std::uint64_t next_id_ = 1;
};

}  // namespace warden::daemon
