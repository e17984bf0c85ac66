// SPDX-License-Identifier: Apache-2.0
// What one listener makes of the event ring: which resets it announces to the program, which ends, and what it answers.
// The same for a thread that waits and for a program that polls.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include <warden/listener.h>

#include "tools/libwarden/client.h"

namespace warden::internal {

// Threads: run_due() and look_at_socket() from one thread at a time; the rest from any.
class ListenerReplay {
 public:
  ListenerReplay(std::shared_ptr<Session> session, ListenerCallbacks callbacks, bool acknowledge_by_hand);

  // Registers; callbacks come from run_due() only.
  [[nodiscard]] Status start(const ListenerOptions& options);
  // Takes the listener off the session's list: nobody waits for it any more.
  void stop();

  // Runs the callbacks that are due.
  [[gnu::hot]] void run_due();
  // For when nothing came for a while, or something woke us without news: a broken attachment is replaced, in one
  // attempt.
  [[nodiscard]] Status look_at_socket();

  [[nodiscard]] Status acknowledge(std::uint64_t reset_id);
  [[nodiscard]] Result<std::chrono::milliseconds> need_more_time(std::uint64_t reset_id,
                                                                 std::chrono::milliseconds wanted);

  // Waits until there is more, up to `bound`; false when there is not.
  [[gnu::hot]] [[nodiscard]] bool wait(std::chrono::milliseconds bound) const;
  [[nodiscard]] const std::shared_ptr<Connection>& connection() const noexcept { return connection_; }
  [[nodiscard]] Client& client() const noexcept { return client_; }

 private:
  // A reset the program was told of and whose end it has not heard.
  struct Pending {
    std::shared_ptr<Connection> connection;  // where it was announced: the answer belongs there
    std::uint64_t reset_id = 0;
    std::uint64_t device_mask = 0;
  };

  [[gnu::hot]] void replay_ring();
  [[gnu::hot]] void handle(const shm::RawEvent& event);
  [[gnu::hot]] void announce(const shm::EventHead& event, std::string_view reason);
  void finish(ResetResult result, const std::string& reason);
  [[gnu::hot]] void follow_replaced_connection();
  // Compares what was heard with what the directory says now: after joining late, being lapped, or reattaching.
  void catch_up();
  void catch_up_with_end();
  void catch_up_with_announcement();
  void finish_from_report(std::uint64_t reset_id);
  [[nodiscard]] std::optional<shm::Event> find_event(shm::EventKind kind, std::uint64_t reset_id) const;
  // The same, giving wardend a moment to publish it.
  [[nodiscard]] std::optional<shm::Event> find_event_soon(shm::EventKind kind, std::uint64_t reset_id) const;
  [[nodiscard]] std::optional<Pending> pending() const;
  // In run_due()'s thread: the reset told of whose end was not heard, 0 if there is none.
  [[nodiscard]] std::uint64_t pending_reset_id() const noexcept {
    return pending_reset_id_.load(std::memory_order_relaxed);  // its own store
  }
  [[gnu::hot]] void set_pending(std::uint64_t reset_id, std::uint64_t device_mask);
  void clear_pending();
  // While no reset is pending.
  [[gnu::hot]] void refer_pending_to_connection();
  // After the attachment changed: what the registry and the device table say of us now.
  void remember_registration();
  [[gnu::hot]] void name_devices(std::uint64_t device_mask);

  std::shared_ptr<Session> session_;
  Client& client_;
  ListenerCallbacks callbacks_;
  const bool acknowledge_by_hand_;
  ListenerRegistry::Token token_ = 0;
  std::shared_ptr<Connection> connection_;
  std::uint64_t attachment_ = 0;  // the client's count when connection_ was looked at
  std::uint64_t next_event_ = 0;
  std::uint64_t last_announced_id_ = 0;
  // The reset of now, written by run_due() alone, so that its thread reads them without the lock; acknowledge() may
  // come from any thread.
  std::atomic<std::uint64_t> pending_reset_id_{0};  // 0: none. sync: listener.pending
  std::atomic<std::uint64_t> pending_mask_{0};
  mutable std::mutex pending_mutex_;
  std::shared_ptr<Connection> pending_connection_;  // changes only while the id is 0, under the lock, and seldom

  // Kept from one announcement to the next: between the wake and the callback nothing is allocated, no lock is taken
  // that others hold, and little memory is touched, since after a long sleep all of it is cold.
  std::uint64_t device_mask_ = 0;      // what this listener listens to
  std::uint64_t joined_reset_id_ = 0;  // under way when it joined: told for information, owed nothing
  std::uint64_t named_mask_ = 0;       // whose names announcement_ holds
  shm::RawEvent event_;
  ResetAnnouncement announcement_;
};

}  // namespace warden::internal
