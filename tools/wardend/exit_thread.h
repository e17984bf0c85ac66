// SPDX-License-Identifier: Apache-2.0
// The exit watcher on a thread of its own: real-time where that is permitted, because whoever shares a processor with a
// large dying process hears of it milliseconds late otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "bpf/exit_watcher.h"
#include "shm/liveness_page.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

// What a watched process is to us. A session's own process has the session's number in the liveness page.
enum class WatchedAs : std::uint8_t { kSession = 0, kSubject = 1, kBridged = 2 };

struct ToldDeath {
  WatchedAs watched_as{};
  std::uint64_t number = 0;  // of the session, or of the bridged client
};

struct ExitStatus {
  bpf::Mechanism mechanism{};
  std::string reason;  // why none of the better ones; empty when there is none
  bool is_realtime = false;
  std::string realtime_reason;       // why not
  std::uint64_t marked = 0;          // deaths told since this worker began
  std::uint64_t last_marked_ns = 0;  // CLOCK_BOOTTIME: when the marking of the newest of them was done; 0: of none yet
  bpf::Counters counters;
};

// Threads: any. The programs and maps in the kernel stay with the keeper, for the next worker.
class ExitThread {
 public:
  struct Parts {
    std::optional<bpf::Mechanism> only;  // none: the best that works
    std::size_t ring_bytes;              // room for deaths that were not taken yet
    bool first = true;                   // a worker that takes over serves with whatever works
    KeptTable& kept;
    KeeperLink& keeper;
    std::function<void(std::span<const ToldDeath>)> on_deaths;  // on the watching thread
  };
  [[nodiscard]] static Result<std::unique_ptr<ExitThread>> open(const Parts& parts);
  ExitThread(const ExitThread&) = delete;
  ExitThread& operator=(const ExitThread&) = delete;
  ~ExitThread();

  // From now on deaths are told, also those that were before.
  [[nodiscard]] Status start();

  // The pidfd stays open until forget() has returned. `slot`: of the liveness page, or bpf::kNoSlot.
  [[nodiscard]] Status watch(WatchedAs watched_as, std::uint64_t number, int pidfd, std::uint32_t slot = bpf::kNoSlot);
  // False: its process has begun to die, and the kernel may still be about to write in its slot of the page.
  bool forget(WatchedAs watched_as, std::uint64_t number);

  [[nodiscard]] int liveness_fd() const noexcept { return watcher_->liveness_fd(); }
  // The kernel says so already, whether anybody has been told or not.
  [[nodiscard]] bool is_marked(std::uint32_t slot, std::uint64_t session_id) const noexcept;
  [[nodiscard]] ExitStatus status() const;

 private:
  ExitThread(std::unique_ptr<bpf::ExitWatcher> watcher, std::string reason,
             std::function<void(std::span<const ToldDeath>)> on_deaths);
  void run();
  [[nodiscard]] bool take(std::vector<ToldDeath>& told);

  const std::unique_ptr<bpf::ExitWatcher> watcher_;  // used under mutex_, but for what never changes
  const std::string reason_;
  const std::function<void(std::span<const ToldDeath>)> on_deaths_;
  std::optional<shm::LivenessPage> page_;
  mutable std::mutex mutex_;
  Status realtime_;
  std::uint64_t marked_ = 0;
  std::uint64_t last_marked_ns_ = 0;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace warden::daemon
