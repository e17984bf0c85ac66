// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Sees every process begin to die. Of a watched one it marks the liveness words and tells the watcher, once; the others
// pay for one look into a map. Three programs for three kinds of kernel, of which the loader takes one.
#include <linux/bpf.h>
// The helpers need the types above.
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "exit_watch.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// The kernel's own structs, as far as they are read; libbpf finds where the running kernel has the fields.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef struct {
  int counter;
} atomic_t;

struct signal_struct {
  atomic_t live;  // threads that have not yet begun to exit
  int group_exit_code;
  unsigned int flags;
};

struct task_struct {
  int tgid;
  int exit_code;
  __u64 start_boottime;
  struct task_struct *group_leader;
  struct signal_struct *signal;
};

struct bpf_iter_meta {
  struct seq_file *seq;
  __u64 seq_num;
};

struct bpf_iter__task {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
};
#pragma clang attribute pop

#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h */

// Sizes are the loader's to set.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct ExitKey);
  __type(value, struct WatchedProcess);
} watched SEC(".maps");

// One word a slot: the id of the last session that died in it. Never cleared.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} liveness SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct ExitCounters);
} counters SEC(".maps");

static __always_inline struct ExitKey key_of(struct task_struct *task) {
  struct ExitKey key = {.tgid = task->tgid, .start_ns = task->group_leader->start_boottime};
  return key;
}

// What the parent's wait() will say (wait_task_zombie() of kernel/exit.c).
static __always_inline __u32 wait_status_of(struct task_struct *task) {
  if (task->signal->flags & SIGNAL_GROUP_EXIT) return task->signal->group_exit_code;
  return task->group_leader->exit_code;
}

static __always_inline void count_drop(void) {
  __u32 zero = 0;
  struct ExitCounters *count = bpf_map_lookup_elem(&counters, &zero);
  if (count) __sync_fetch_and_add(&count->dropped_events, 1);
}

static __always_inline void mark(const struct WatchedProcess *process, __u32 tgid) {
  for (int i = 0; i < kMostWordsOfProcess; ++i) {
    const __u64 slot_and_tgid = *(const volatile __u64 *)&process->words[i].slot_and_tgid;
    if (slot_and_tgid >> 32 != tgid) break;
    const __u32 slot = (__u32)slot_and_tgid;
    __u64 *word = bpf_map_lookup_elem(&liveness, &slot);
    if (word) *(volatile __u64 *)word = process->words[i].id;
  }
}

// The last thread of the process is exiting; perhaps not only this one says so. Marking twice is marking, so it comes
// first; the event belongs to the one whose delete succeeds.
static __always_inline int process_exits(struct task_struct *task) {
  const __u64 time_ns = bpf_ktime_get_ns();
  const struct ExitKey key = key_of(task);
  const struct WatchedProcess *process = bpf_map_lookup_elem(&watched, &key);
  if (!process) return 0;
  mark(process, key.tgid);
  if (bpf_map_delete_elem(&watched, &key)) return 0;
  struct ExitEvent *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    count_drop();
    return 0;
  }
  event->key = key;
  event->time_ns = time_ns;
  event->wait_status = wait_status_of(task);
  event->padding = 0;
  bpf_ringbuf_submit(event, 0);
  return 0;
}

// From Linux 6.16 or so the tracepoint says itself whether the whole group is dead.
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(exit_tp_btf, struct task_struct *task, _Bool group_dead) {
  return group_dead ? process_exits(task) : 0;
}

// Before that, this function knows, and runs while the memory is still there.
SEC("?fentry/taskstats_exit")
int BPF_PROG(exit_fentry, struct task_struct *task, int group_dead) { return group_dead ? process_exits(task) : 0; }

// Where neither may be used. Two last threads may both see zero.
SEC("?tp/sched/sched_process_exit")
int exit_tracepoint(void *context) {
  (void)context;
  struct task_struct *task = bpf_get_current_task_btf();
  return task->signal->live.counter == 0 ? process_exits(task) : 0;
}

// Bound to one process by the loader: writes who it is, once however many threads it has.
SEC("iter/task")
int identify(struct bpf_iter__task *context) {
  struct task_struct *task = context->task;
  if (!task || context->meta->seq_num != 0) return 0;
  struct TaskIdentity identity = {.key = key_of(task), .live_threads = task->signal->live.counter};
  bpf_seq_write(context->meta->seq, &identity, sizeof(identity));
  return 0;
}
