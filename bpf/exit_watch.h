// SPDX-License-Identifier: Apache-2.0
// What the exit program in the kernel and its loader both see: the map of watched processes, the event of a death, the
// counters. Plain C; nothing here leaves this machine or outlives the program.
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
namespace warden::bpf {
#endif

// The same process may be watched for several sessions (a program, and a wrapper that speaks for it). Those beyond this
// number have no liveness word; their death is told all the same.
enum { kMostWordsOfProcess = 4 };

// A process, for good: its number in the initial PID namespace and when its leader began (CLOCK_BOOTTIME).
struct ExitKey {
  __u32 tgid;
  __u32 padding;
  __u64 start_ns;
};

// Entries of the map are used again at once, also under a program that still reads one: a word that says whose it is
// can't mark another process's session. 64 bits each, read and written whole.
struct LivenessWord {
  __u64 id;
  __u64 slot_and_tgid;  // tgid in the upper half; 0: none, and none after it
};

struct WatchedProcess {
  struct LivenessWord words[kMostWordsOfProcess];
};

struct ExitEvent {
  struct ExitKey key;
  __u64 time_ns;  // CLOCK_MONOTONIC, when the program was entered
  __u32 wait_status;
  __u32 padding;
};

// What the task iterator says of one process.
struct TaskIdentity {
  struct ExitKey key;
  __u32 live_threads;  // 0: it has begun to die, and the exit program may have run already
  __u32 padding;
};

struct ExitCounters {
  __u64 dropped_events;  // the ring was full
};

#ifdef __cplusplus
static_assert(sizeof(ExitKey) == 16 && sizeof(LivenessWord) == 16 && sizeof(WatchedProcess) == 64);
static_assert(sizeof(ExitEvent) == 32 && sizeof(TaskIdentity) == 24 && sizeof(ExitCounters) == 8);
}  // namespace warden::bpf
#endif
