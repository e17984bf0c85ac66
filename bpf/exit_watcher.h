// SPDX-License-Identifier: Apache-2.0
// Says within microseconds that a watched process has begun to die. A program in the kernel sees it; where none can be
// loaded, and whenever that one misses an exit, the process's pidfd says it, later but always.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::bpf {

// Ways to hear of an exit, best first.
enum class Mechanism : std::uint32_t { kTpBtf = 0, kFentry = 1, kTracepoint = 2, kPidfd = 3 };
[[nodiscard]] std::string_view to_string(Mechanism mechanism) noexcept;

// No word of the liveness page.
inline constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

struct Watched {
  std::uint64_t id = 0;          // not 0, and never used twice
  std::uint32_t slot = kNoSlot;  // below Options::slots: where the program writes the id when the process dies
  int pidfd = -1;                // the caller's, of this session alone, open until forget() has returned
};

struct Death {
  std::uint64_t id = 0;
  std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC: when it began to die; when that was noticed, unless by_hook
  int wait_status = -1;       // as from waitpid(2); -1: unknown
  bool by_hook = false;
};

struct Counters {
  std::uint64_t dropped_events = 0;   // the ring was full; the deaths were found by a rescan
  std::uint64_t missed_runs = 0;      // exits that the kernel did not show to the program
  std::uint64_t rescans = 0;          // because one of the two above grew
  std::uint64_t not_by_hook = 0;      // deaths that were told without an event
  std::uint64_t unknown_to_hook = 0;  // sessions that only their pidfd watches now: the map is full
  std::uint64_t runs = 0;             // of the program, and how long they took in sum; 0 unless the kernel counts
  std::uint64_t run_time_ns = 0;      // (sysctl kernel.bpf_stats_enabled)
};

struct Options {
  std::size_t capacity = 4096;       // processes that the program knows; those beyond go by their pidfd
  std::uint32_t slots = 4096;        // words of the liveness page
  std::size_t ring_bytes = 1 << 18;  // a power of two, whole pages
  std::vector<Mechanism> mechanisms = {Mechanism::kTpBtf, Mechanism::kFentry, Mechanism::kTracepoint,
                                       Mechanism::kPidfd};  // tried in turn
};

// What a successor needs to go on with the same programs and maps. The descriptors stay the watcher's.
struct Descriptors {
  std::string blob;
  std::vector<int> fds;  // none: nothing to hand on
};

// Threads: one at a time. Starts none. Prints nothing, and makes libbpf silent.
class ExitWatcher {
 public:
  // The first mechanism that works here. Never fails for lack of rights while kPidfd is among them.
  [[nodiscard]] static Result<std::unique_ptr<ExitWatcher>> open(const Options& options);
  // Goes on where a dead process has stopped: no exit between the two is lost once every session is watched again.
  // kInvalidArgument: not what descriptors() of this version gives; open() anew.
  [[nodiscard]] static Result<std::unique_ptr<ExitWatcher>> adopt(std::string_view blob, std::vector<UniqueFd> fds);

  ExitWatcher(const ExitWatcher&) = delete;
  ExitWatcher& operator=(const ExitWatcher&) = delete;
  virtual ~ExitWatcher() = default;

  // A process that has begun to die before is told by the next take().
  [[nodiscard]] virtual Status watch(const Watched& watched) = 0;
  // Its death is told no more. True: the slot may be used again. False: the process has begun to die and the program
  // may still be about to write there; use the slot when the pidfd is readable.
  virtual bool forget(std::uint64_t id) = 0;
  // Readable when take() has something to say.
  [[nodiscard]] virtual int fd() const noexcept = 0;
  // Appends deaths since the last call, each once; whoever is known at once does not wait for those that have to be
  // looked for: fd() stays readable then. Never blocks.
  [[nodiscard]] virtual Status take(std::vector<Death>& deaths) = 0;

  // To be mapped read-only, also by clients (shm/liveness_page.h); -1: the mechanism has none.
  [[nodiscard]] virtual int liveness_fd() const noexcept { return -1; }
  [[nodiscard]] virtual std::uint32_t liveness_slots() const noexcept { return 0; }
  [[nodiscard]] virtual Descriptors descriptors() const { return {}; }
  [[nodiscard]] virtual Counters counters() const = 0;
  [[nodiscard]] virtual Mechanism mechanism() const noexcept = 0;

  // Why none of the better mechanisms; empty when there is no better one, or after adopt().
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  // `pidfd (tp_btf: ...)`, for a log.
  [[nodiscard]] std::string summary() const;

 protected:
  ExitWatcher() = default;

 private:
  std::string reason_;
};

}  // namespace warden::bpf
