// SPDX-License-Identifier: Apache-2.0
// The public face of a listener: a thread that waits, or a descriptor for a program that polls.
#include <pthread.h>
#include <warden/listener.h>

#include <atomic>
#include <csignal>
#include <system_error>
#include <thread>

#include "tools/libwarden/listener_replay.h"
#include "tools/libwarden/wake_set.h"

namespace warden {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBound{500};  // the longest a dead wardend goes unnoticed
constexpr milliseconds kNudge{10};   // how often a thread that is to end is woken until it has

// Signals belong to the program's own threads: a new thread inherits this mask.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

class Listener::Implementation {
 public:
  Implementation(std::shared_ptr<Session> session, ListenerCallbacks callbacks, const ListenerOptions& options)
      : replay_(std::move(session), std::move(callbacks), options.acknowledge_by_hand) {}
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  ~Implementation() {
    if (!replay_.client().check_process()) {  // forked: there is no such thread here, and nothing to tell anybody
      (void)thread_.release();
      return;
    }
    if (thread_) end_thread();
    if (started_) replay_.stop();
  }

  Status start(const ListenerOptions& options) {
    if (!options.thread) {
      if (auto ok = make_wake_set(); !ok) return ok;
    }
    if (auto ok = replay_.start(options); !ok) return ok;
    started_ = true;
    return options.thread ? start_thread() : watch_from_now();
  }

  Status dispatch() {
    if (auto ok = replay_.client().check_process(); !ok) return ok;
    if (!wake_set_) return fail(Code::kInvalidArgument, "this listener has a thread of its own; nothing to dispatch");
    wake_set_->drain();  // before the ring is read: a byte that comes later is for a later event
    auto live = replay_.look_at_socket();
    replay_.run_due();
    if (!live) {
      wake_set_->rest(kBound);
      return live;
    }
    return wake_set_->watch(replay_.connection());
  }

  [[nodiscard]] int fd() const noexcept { return wake_set_ ? wake_set_->fd() : -1; }
  internal::ListenerReplay& replay() noexcept { return replay_; }

 private:
  Status make_wake_set() {
    if (!replay_.client().options().pollable) {
      return fail(Code::kInvalidArgument, "a listener without a thread needs a session attached as pollable");
    }
    auto made = internal::WakeSet::create();
    if (!made) return std::unexpected(std::move(made).error());
    wake_set_ = std::make_unique<internal::WakeSet>(std::move(*made));
    return {};
  }

  Status watch_from_now() {
    wake_set_->kick();  // a reset may be under way already
    return wake_set_->watch(replay_.connection());
  }

  Status start_thread() {
    const AllSignalsBlocked blocked;
    try {
      thread_ = std::make_unique<std::thread>([this] { run(); });
    } catch (const std::system_error& error) {
      return fail_errno("start the listener's thread", error.code().value());
    }
    return {};
  }

  [[gnu::hot]] void run() {
    (void)::pthread_setname_np(::pthread_self(), "warden-listener");
    while (!ending_.load(std::memory_order_acquire)) {
      replay_.run_due();
      if (ending_.load(std::memory_order_acquire)) break;
      if (!replay_.wait(kBound)) (void)replay_.look_at_socket();  // tried again after the next bound
    }
    ended_.store(1, std::memory_order_release);
    shm::futex_wake_all(ended_);
  }

  void end_thread() {
    ending_.store(true, std::memory_order_release);
    // It may be just about to wait, and then miss one wake.
    while (ended_.load(std::memory_order_acquire) == 0) {
      replay_.client().connection()->directory().wake(replay_.client().wake_bit());
      shm::futex_wait(ended_, 0, kNudge);
    }
    thread_->join();
  }

  internal::ListenerReplay replay_;
  std::unique_ptr<internal::WakeSet> wake_set_;
  std::unique_ptr<std::thread> thread_;
  bool started_ = false;
  std::atomic<bool> ending_{false};
  std::atomic<std::uint32_t> ended_{0};
};

Result<std::unique_ptr<Listener>> Listener::start(std::shared_ptr<Session> session, ListenerCallbacks callbacks,
                                                  const ListenerOptions& options) {
  auto implementation = std::make_unique<Implementation>(std::move(session), std::move(callbacks), options);
  if (auto ok = implementation->start(options); !ok) return wrap(std::move(ok).error(), "listen for resets");
  return std::unique_ptr<Listener>(new Listener(std::move(implementation)));
}

Listener::Listener(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}

Listener::~Listener() = default;

Status Listener::acknowledge(std::uint64_t reset_id) { return implementation_->replay().acknowledge(reset_id); }

Result<milliseconds> Listener::need_more_time(std::uint64_t reset_id, milliseconds wanted) {
  return implementation_->replay().need_more_time(reset_id, wanted);
}

int Listener::fd() const noexcept { return implementation_->fd(); }

Status Listener::dispatch() { return implementation_->dispatch(); }

}  // namespace warden
