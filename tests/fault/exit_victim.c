// SPDX-License-Identifier: Apache-2.0
// A process that ends by its threads' ends, when a descriptor becomes readable. A program of its own, because a
// sanitizer keeps a thread in every process that has it.
// Usage: exit_victim GATE_FD thread STATUS | exit_victim GATE_FD two-threads
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int ready;

// Yields, so that with one free processor the other gets there too.
static void* leave_together(void* unused) {
  (void)unused;
  atomic_fetch_add(&ready, 1);
  while (atomic_load(&ready) != 2) sched_yield();
  syscall(SYS_exit, 0);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  struct pollfd gate = {.fd = (int)strtol(argv[1], NULL, 10), .events = POLLIN};
  if (poll(&gate, 1, -1) != 1) return 2;
  if (strcmp(argv[2], "thread") == 0 && argc == 4) syscall(SYS_exit, (int)strtol(argv[3], NULL, 10));
  pthread_t other;
  if (strcmp(argv[2], "two-threads") != 0 || pthread_create(&other, NULL, leave_together, NULL) != 0) return 2;
  leave_together(NULL);
}
