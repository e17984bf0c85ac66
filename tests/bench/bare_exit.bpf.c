// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The least a program can do about an exit: compare a number, write the time, send it. What the exit watcher is
// measured against.
#include <linux/bpf.h>
// The helpers need the types above.
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_struct {
  int pid;
} __attribute__((preserve_access_index));

// 0: whose exit is awaited; 1: when it was seen (CLOCK_MONOTONIC).
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
} words SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

SEC("tp_btf/sched_process_exit")
int BPF_PROG(bare_exit, struct task_struct *task) {
  __u64 time_ns = bpf_ktime_get_ns();
  __u32 first = 0;
  __u32 second = 1;
  __u64 *pid = bpf_map_lookup_elem(&words, &first);
  __u64 *seen = bpf_map_lookup_elem(&words, &second);
  if (!pid || !seen || *pid != (__u64)task->pid) return 0;
  *(volatile __u64 *)seen = time_ns;
  bpf_ringbuf_output(&events, &time_ns, sizeof(time_ns), 0);
  return 0;
}
