// SPDX-License-Identifier: Apache-2.0
// The directory: the one piece of memory that wardend writes and every client reads. Fixed-width, no pointers,
// tables found by offsets in the header, so that a reader needs neither Boost nor our compiler.
//
//   header | devices[64] | sessions[N] | listeners[N] | events[4096]
//
// Writer: wardend's worker alone. Readers: anybody with the (sealed) descriptor. Every word that changes after
// hand-out is a naturally aligned 32- or 64-bit atomic.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace warden::shm {

inline constexpr std::uint64_t kDirectoryMagic = 0x5249'444e'4452'4157;  // "WARDNDIR"
inline constexpr std::uint32_t kDirectoryVersion = 2;

inline constexpr std::uint32_t kDeviceCapacity = 64;     // a device set is one 64-bit mask
inline constexpr std::uint32_t kSessionCapacity = 2048;  // also the listeners': one row a session, same slot
// A power of two; twice what the answers of a full house to one reset take.
inline constexpr std::uint32_t kEventCapacity = 4096;

using Word32 = std::atomic<std::uint32_t>;
using Word64 = std::atomic<std::uint64_t>;
static_assert(Word32::is_always_lock_free && sizeof(Word32) == 4);
static_assert(Word64::is_always_lock_free && sizeof(Word64) == 8);

struct TablePlace {
  std::uint64_t offset_bytes;  // from the start of the directory
  std::uint32_t count;
  std::uint32_t record_bytes;
};
static_assert(sizeof(TablePlace) == 16);

struct alignas(64) DirectoryHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint64_t total_bytes;
  std::uint64_t instance_id;  // random; another keeper makes another directory
  TablePlace devices;
  TablePlace sessions;
  TablePlace listeners;
  TablePlace events;
  std::int32_t keeper_pid;  // as wardend sees itself
  std::uint32_t reserved0;
  std::uint64_t reserved1[3];

  // -- one cache line of words that move --
  Word32 generation;       // FUTEX_WAIT here, see kWake...; moves after every event. sync: directory.generation
  Word32 acks_target;      // the doorbell count at which the acknowledgement round of now is complete
  Word64 event_count;      // events ever written; the newest is event_count - 1. sync: directory.event_count
  Word64 active_reset_id;  // 0: none
  Word64 coarse_time_ns;   // CLOCK_BOOTTIME, ticked by wardend
  Word32 worker_pid;
  Word32 worker_starts;  // moves when a new worker takes over: ask again what was not answered
  std::uint64_t reserved2[3];
};
static_assert(sizeof(DirectoryHeader) == 192);
static_assert(offsetof(DirectoryHeader, devices) == 32);
static_assert(offsetof(DirectoryHeader, generation) == 128);

// Who waits on `generation` for what (bits of FUTEX_WAIT_BITSET). A plain FUTEX_WAIT hears everything. A thousand
// listeners must not be woken a thousand times to be told of each other's acknowledgements.
inline constexpr std::uint32_t kWakeListeners = 1;  // announcements, results, new workers, devices
inline constexpr std::uint32_t kWakeFollowers = 2;  // every event; of an announcement as soon as there is time
// The other bits are the clients' own: wardend's wakes for everybody set them too.

enum class DeviceState : std::uint32_t { kAbsent = 0, kReady = 1, kResetting = 2, kFailed = 3, kLost = 4 };

struct alignas(64) DeviceRecord {
  Word32 state;  // DeviceState; kAbsent: the row is free
  std::uint32_t index;
  Word64 epoch;    // moves with every reset; a handle of another epoch is stale
  char name[240];  // as given to --device, NUL-terminated; written before state leaves kAbsent
};
static_assert(sizeof(DeviceRecord) == 256);

enum class SessionState : std::uint32_t { kFree = 0, kLive = 1, kDead = 2 };

struct alignas(64) SessionRecord {
  Word64 session_id;  // never used twice by one instance; 0: the slot is free
  Word32 state;       // SessionState
  std::int32_t pid;   // as wardend sees it; 0 when it can't
  std::uint32_t user_id;
  std::uint32_t flags;          // kSessionOperator ...
  std::uint64_t start_time_ns;  // of the process, CLOCK_BOOTTIME; 10 ms ticks where nothing finer is known
  char name[32];                // what the session calls itself, else the process's name; NUL-terminated
};
static_assert(sizeof(SessionRecord) == 64);

inline constexpr std::uint32_t kSessionOperator = 1;

struct alignas(64) ListenerRecord {
  Word64 session_id;     // 0: this slot listens to nothing
  Word64 device_mask;    // which devices it listens to; all ones: all, also those to come
  Word64 owed_reset_id;  // the reset whose announcement this listener must acknowledge; 0: nothing
  Word32 flags;
  Word32 reserved0;
  std::uint64_t reserved1[4];
};
static_assert(sizeof(ListenerRecord) == 64);

// The values are part of the layout: append, never renumber.
enum class EventKind : std::uint32_t {
  kAnnounce = 1,       // a reset is coming: reset_id, device_mask, deadline; text = reason
  kPhase = 2,          // the reset has entered `phase`
  kAcknowledged = 3,   // a listener answered: pid, value = microseconds since the announcement; text = its name
  kExtended = 4,       // a listener was given more time: pid, value = milliseconds, new deadline
  kTimedOut = 5,       // a listener stayed silent
  kDied = 6,           // a listener died before it answered
  kNotified = 7,       // a tt-umd listener was told and its grace has passed
  kResult = 8,         // the reset has ended: result; text = reason
  kSessionOpened = 9,  // pid; text = name
  kSessionClosed = 10,
  kDevice = 11,  // a device came, went or changed: device_mask, value = DeviceState; text = name
  kWorker = 12,  // a new worker took over: pid
};

enum class ResetPhase : std::uint32_t {
  kIdle = 0,
  kAnnounced = 1,
  kQuiesced = 2,
  kResetting = 3,
  kVerified = 4,
};

enum class ResetResult : std::uint32_t {
  kNone = 0,
  kOk = 1,
  kFailed = 2,
  kRefused = 3,
  kAborted = 4,
};

// Immutable once written: `sequence` is event number + 1 and is stored last; a reader copies the record and looks
// at `sequence` again: another value means it was lapped. sync: event.sequence
struct alignas(64) EventRecord {
  Word64 sequence;
  std::uint64_t time_ns;  // CLOCK_BOOTTIME
  std::uint64_t reset_id;
  std::uint64_t device_mask;
  std::uint64_t deadline_ns;  // CLOCK_BOOTTIME
  std::uint64_t value;
  std::uint32_t kind;    // EventKind
  std::uint32_t phase;   // ResetPhase
  std::uint32_t result;  // ResetResult
  std::int32_t pid;
  std::uint64_t session_id;
  char text[184];  // NUL-terminated, cut if longer
};
static_assert(sizeof(EventRecord) == 256);
static_assert(offsetof(EventRecord, text) == 72);
static_assert((kEventCapacity & (kEventCapacity - 1)) == 0);

}  // namespace warden::shm
