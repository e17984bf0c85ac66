// SPDX-License-Identifier: Apache-2.0
// Exits by a program in the kernel, with every session's pidfd behind it as the authority: on preemptible kernels a
// program can miss an exit.
#pragma once

#include <map>
#include <optional>
#include <tuple>

#include "bpf/exit_programs.h"
#include "bpf/exit_watch.h"
#include "bpf/exit_watcher.h"
#include "bpf/pidfd_set.h"

struct ring_buffer;

namespace warden::bpf {

class BpfWatcher final : public ExitWatcher {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ExitWatcher>> make(Mechanism mechanism, ExitPrograms programs);
  BpfWatcher(Mechanism mechanism, ExitPrograms programs, PidfdSet pidfds, UniqueFd found_now, std::uint32_t slots);
  ~BpfWatcher() override;

  Status watch(const Watched& watched) override;
  bool forget(std::uint64_t id) override;
  int fd() const noexcept override { return wakers_.fd(); }
  Status take(std::vector<Death>& deaths) override;
  int liveness_fd() const noexcept override { return programs_.liveness.get(); }
  std::uint32_t liveness_slots() const noexcept override { return slots_; }
  Descriptors descriptors() const override;
  Counters counters() const override;
  Mechanism mechanism() const noexcept override { return mechanism_; }

 private:
  struct KeyOrder {
    bool operator()(const ExitKey& a, const ExitKey& b) const noexcept {
      return std::tie(a.start_ns, a.tgid) < std::tie(b.start_ns, b.tgid);
    }
  };
  struct Session {
    Watched watched;
    std::optional<ExitKey> key;  // none: the program does not know its process, or knew it and is done with it
    bool told = false;
  };
  // What the kernel says of the ways an event can get lost.
  struct Losses {
    std::uint64_t dropped_events = 0;
    std::uint64_t missed_runs = 0;
    bool operator==(const Losses&) const = default;
  };

  static int on_event(void* self, void* data, std::size_t len_bytes);
  Status open_ring();
  void enter(Session& session);
  void withdraw(const ExitKey& key, std::uint64_t id);
  [[nodiscard]] bool write_process(const ExitKey& key, std::uint64_t flags) const;
  [[nodiscard]] bool has_begun_to_die(int pidfd) const;
  void tell(Session& session, const Death& how);
  void tell_process(const ExitKey& key, const Death& how);
  void find_now(const ExitKey& key);
  void hand_over(std::vector<Death>& deaths);
  void rescan();
  [[nodiscard]] Losses losses() const;

  Mechanism mechanism_;
  ExitPrograms programs_;
  PidfdSet wakers_;     // the ring (kRing), found_now_ (kFound), and the pidfds of those not told
  UniqueFd found_now_;  // an eventfd: the next take() has something to do
  std::uint32_t slots_;
  ring_buffer* ring_ = nullptr;
  std::map<std::uint64_t, Session> sessions_;
  std::multimap<ExitKey, std::uint64_t, KeyOrder> ids_of_;
  std::vector<Death> deaths_;  // found and not yet taken
  Losses known_losses_;
  std::uint64_t rescans_ = 0;
  std::uint64_t not_by_hook_ = 0;
};

}  // namespace warden::bpf
