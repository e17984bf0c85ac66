// SPDX-License-Identifier: Apache-2.0
// A session is told dead at the first of: the program's event, its key gone from the map, no live thread left, its
// pidfd readable. Telling is once because it marks the session and takes its pidfd out of the set.
#include "bpf/bpf_watcher.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bpf/clock.h"
#include "bpf/task_identity.h"

namespace warden::bpf {

namespace {

// Among the ids of sessions, whose are never 0 and count up.
constexpr std::uint64_t kRing = 0;
constexpr std::uint64_t kFound = ~std::uint64_t{0};

constexpr std::string_view kBlobPrefix = "exit programs 1 ";  // count up when the maps or their order change

Result<std::uint32_t> entries_of(int map) {
  bpf_map_info info{};
  __u32 len_bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &len_bytes) != 0) return fail_errno("look at a BPF map");
  return info.max_entries;
}

bpf_prog_info info_of(int program) {
  bpf_prog_info info{};
  __u32 len_bytes = sizeof(info);
  bpf_obj_get_info_by_fd(program, &info, &len_bytes);
  return info;
}

Death noticed_now() { return {.time_ns = monotonic_ns()}; }

}  // namespace

Result<std::unique_ptr<ExitWatcher>> BpfWatcher::make(Mechanism mechanism, ExitPrograms programs) {
  const auto slots = entries_of(programs.liveness.get());
  if (!slots) return std::unexpected(slots.error());
  auto wakers = PidfdSet::make();
  if (!wakers) return std::unexpected(std::move(wakers).error());
  UniqueFd found_now(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!found_now) return fail_errno("eventfd");
  auto watcher =
      std::make_unique<BpfWatcher>(mechanism, std::move(programs), std::move(*wakers), std::move(found_now), *slots);
  if (auto ok = watcher->open_ring(); !ok) return std::unexpected(std::move(ok).error());
  return watcher;
}

BpfWatcher::BpfWatcher(Mechanism mechanism, ExitPrograms programs, PidfdSet pidfds, UniqueFd found_now,
                       std::uint32_t slots)
    : mechanism_(mechanism),
      programs_(std::move(programs)),
      wakers_(std::move(pidfds)),
      found_now_(std::move(found_now)),
      slots_(slots) {}

BpfWatcher::~BpfWatcher() { ring_buffer__free(ring_); }

Status BpfWatcher::open_ring() {
  ring_ = ring_buffer__new(programs_.events.get(), &BpfWatcher::on_event, this, nullptr);
  if (ring_ == nullptr) return fail_errno("map the ring of exits");
  known_losses_ = losses();
  if (auto ok = wakers_.add(programs_.events.get(), kRing); !ok) return ok;
  return wakers_.add(found_now_.get(), kFound);
}

Status BpfWatcher::watch(const Watched& watched) {
  if (watched.id == kRing || watched.id == kFound || sessions_.contains(watched.id)) {
    return fail(Code::kInvalidArgument, "not a new session's id: " + std::to_string(watched.id));
  }
  if (watched.slot != kNoSlot && watched.slot >= slots_) {
    return fail(Code::kInvalidArgument, "the liveness page has no slot " + std::to_string(watched.slot));
  }
  if (auto ok = wakers_.add(watched.pidfd, watched.id); !ok) return ok;
  Session& session = sessions_.emplace(watched.id, Session{.watched = watched, .key = {}}).first->second;
  enter(session);
  return {};
}

// Makes the process known to the program, then looks whether it was too late for that. Who can't be entered is told by
// the pidfd.
void BpfWatcher::enter(Session& session) {
  const int pidfd = session.watched.pidfd;
  const auto identity = identify_task(programs_.identify.get(), pidfd);
  if (!identity || !*identity) return;
  const ExitKey key = (*identity)->key;
  session.key = key;
  ids_of_.emplace(key, session.watched.id);
  const bool entered = write_process(key, BPF_ANY);
  // The program ran before the key was there, or never will again: then the key is still there, and ours to delete.
  if (has_begun_to_die(pidfd)) {
    find_now(key);
  } else if (!entered) {
    withdraw(key, session.watched.id);
    session.key.reset();
  }
}

void BpfWatcher::withdraw(const ExitKey& key, std::uint64_t id) {
  const auto [begin, end] = ids_of_.equal_range(key);
  const auto found = std::find_if(begin, end, [&](const auto& entry) { return entry.second == id; });
  if (found != end) ids_of_.erase(found);
}

// The words of all its sessions. Flags as for bpf(2).
bool BpfWatcher::write_process(const ExitKey& key, std::uint64_t flags) const {
  WatchedProcess process{};
  std::size_t count = 0;
  const auto [begin, end] = ids_of_.equal_range(key);
  for (auto entry = begin; entry != end && count < kMostWordsOfProcess; ++entry) {
    const Watched& watched = sessions_.at(entry->second).watched;
    if (watched.slot == kNoSlot) continue;
    process.words[count++] = {.id = watched.id, .slot_and_tgid = std::uint64_t{key.tgid} << 32 | watched.slot};
  }
  return bpf_map_update_elem(programs_.watched.get(), &key, &process, flags) == 0;
}

bool BpfWatcher::has_begun_to_die(int pidfd) const {
  const auto identity = identify_task(programs_.identify.get(), pidfd);
  if (!identity) return is_readable(pidfd);
  return !*identity || (*identity)->live_threads == 0;
}

bool BpfWatcher::forget(std::uint64_t id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return true;
  const Session session = found->second;
  if (!session.told) wakers_.remove(session.watched.pidfd);
  sessions_.erase(found);
  bool withdrawn = !session.key && !session.told;
  if (session.key) {
    withdraw(*session.key, id);
    // Never enters anew what the program has deleted meanwhile.
    withdrawn = ids_of_.contains(*session.key) ? write_process(*session.key, BPF_EXIST)
                                               : bpf_map_delete_elem(programs_.watched.get(), &*session.key) == 0;
  }
  return withdrawn || is_readable(session.watched.pidfd);
}

Status BpfWatcher::take(std::vector<Death>& deaths) {
  if (const int count = ring_buffer__consume(ring_); count < 0) return fail_errno("read the ring of exits", -count);
  if (!deaths_.empty()) {  // first these; what was lost, and the pidfds, with the next call
    hand_over(deaths);
    ::eventfd_write(found_now_.get(), 1);
    return {};
  }
  if (const Losses now = losses(); now != known_losses_) {
    known_losses_ = now;
    rescan();
  }
  std::vector<std::uint64_t> readable;
  if (auto ok = wakers_.take(readable); !ok) return ok;
  for (const std::uint64_t id : readable) {
    if (id == kFound) {
      eventfd_t count = 0;
      ::eventfd_read(found_now_.get(), &count);
      continue;
    }
    const auto found = sessions_.find(id);
    if (found == sessions_.end() || found->second.told) continue;
    if (const auto key = found->second.key) {
      bpf_map_delete_elem(programs_.watched.get(), &*key);
      tell_process(*key, noticed_now());
    } else {
      tell(found->second, noticed_now());
    }
  }
  hand_over(deaths);
  return {};
}

void BpfWatcher::hand_over(std::vector<Death>& deaths) {
  deaths.insert(deaths.end(), deaths_.begin(), deaths_.end());
  deaths_.clear();
}

int BpfWatcher::on_event(void* self, void* data, std::size_t len_bytes) {
  ExitEvent event;
  if (len_bytes < sizeof(event)) return 0;
  std::memcpy(&event, data, sizeof(event));
  static_cast<BpfWatcher*>(self)->tell_process(
      event.key, {.time_ns = event.time_ns, .wait_status = static_cast<int>(event.wait_status), .by_hook = true});
  return 0;
}

void BpfWatcher::tell(Session& session, const Death& how) {
  session.told = true;
  session.key.reset();
  wakers_.remove(session.watched.pidfd);
  Death death = how;
  death.id = session.watched.id;
  deaths_.push_back(death);
  if (!how.by_hook) ++not_by_hook_;
}

void BpfWatcher::tell_process(const ExitKey& key, const Death& how) {
  const auto [begin, end] = ids_of_.equal_range(key);
  for (auto entry = begin; entry != end; ++entry) tell(sessions_.at(entry->second), how);
  ids_of_.erase(begin, end);
}

// Outside take(): the next one brings it, and fd() asks for that.
void BpfWatcher::find_now(const ExitKey& key) {
  bpf_map_delete_elem(programs_.watched.get(), &key);
  tell_process(key, noticed_now());
  ::eventfd_write(found_now_.get(), 1);
}

// An event was lost, nobody knows whose: a key that the program has deleted is a death whose event found no room, a
// process without live threads one that the program was not shown.
void BpfWatcher::rescan() {
  ++rescans_;
  std::vector<ExitKey> dead;
  for (auto entry = ids_of_.begin(); entry != ids_of_.end(); entry = ids_of_.upper_bound(entry->first)) {
    WatchedProcess process;
    const bool known = bpf_map_lookup_elem(programs_.watched.get(), &entry->first, &process) == 0;
    if (!known || has_begun_to_die(sessions_.at(entry->second).watched.pidfd)) dead.push_back(entry->first);
  }
  for (const ExitKey& key : dead) {
    bpf_map_delete_elem(programs_.watched.get(), &key);
    tell_process(key, noticed_now());
  }
}

BpfWatcher::Losses BpfWatcher::losses() const {
  const __u32 only = 0;
  ExitCounters counters{};
  bpf_map_lookup_elem(programs_.counters.get(), &only, &counters);
  return {.dropped_events = counters.dropped_events, .missed_runs = info_of(programs_.program.get()).recursion_misses};
}

Counters BpfWatcher::counters() const {
  const Losses lost = losses();
  const bpf_prog_info program = info_of(programs_.program.get());
  const auto by_pidfd_only = [](const auto& entry) { return !entry.second.told && !entry.second.key; };
  return {.dropped_events = lost.dropped_events,
          .missed_runs = lost.missed_runs,
          .rescans = rescans_,
          .not_by_hook = not_by_hook_,
          .unknown_to_hook = static_cast<std::uint64_t>(std::ranges::count_if(sessions_, by_pidfd_only)),
          .runs = program.run_cnt,
          .run_time_ns = program.run_time_ns};
}

Descriptors BpfWatcher::descriptors() const {
  return {.blob = std::string(kBlobPrefix) + std::string(to_string(mechanism_)), .fds = programs_.fds()};
}

Result<std::unique_ptr<ExitWatcher>> ExitWatcher::adopt(std::string_view blob, std::vector<UniqueFd> fds) {
  for (const Mechanism mechanism : {Mechanism::kTpBtf, Mechanism::kFentry, Mechanism::kTracepoint}) {
    if (blob != std::string(kBlobPrefix) + std::string(to_string(mechanism))) continue;
    auto programs = ExitPrograms::from_fds(std::move(fds));
    if (!programs) return std::unexpected(std::move(programs).error());
    return BpfWatcher::make(mechanism, std::move(*programs));
  }
  return fail(Code::kInvalidArgument, "exit programs of another version: open the watcher anew");
}

}  // namespace warden::bpf
