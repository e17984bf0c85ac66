// SPDX-License-Identifier: Apache-2.0
// The benchmarks, one source file each. An error means that nothing could be measured.
#pragma once

#include <warden/result.h>

#include "tests/bench/measure.h"

namespace warden::bench {

// From the notifier's first instruction to the listener's code, in another process.
[[nodiscard]] Result<Entries> bench_wake(const Options& options);
// From announcing a reset to the last of N acknowledgements, and how much of a reset is waiting.
[[nodiscard]] Result<Entries> bench_acknowledge(const Options& options);
// Recording what a process holds, and reading what a thousand hold.
[[nodiscard]] Result<Entries> bench_allocation(const Options& options);
// Loads, stores and copies through the driver on mapped memory.
[[nodiscard]] Result<Entries> bench_mapped_access(const Options& options);
// A register read over vfio-user.
[[nodiscard]] Result<Entries> bench_vfio_user(const Options& options);
// Registers and DMA memory over the kernel's VFIO. Nothing outside of the virtual machine.
[[nodiscard]] Result<Entries> bench_kernel_vfio(const Options& options);
// Blocks written to a simulated card's L1 over vfio-user.
[[nodiscard]] Result<Entries> bench_vfio_user_write(const Options& options);
// From a process's exit to those who have to know, and what watching costs the others. Nothing where no BPF program can
// be loaded.
[[nodiscard]] Result<Entries> bench_exit(const Options& options);
// From a client's death to what wardend has to do about it being done. Nothing where no BPF program can be loaded.
[[nodiscard]] Result<Entries> bench_reap(const Options& options);
// Many clients dying at once.
[[nodiscard]] Result<Entries> bench_reap_crowd(const Options& options);
// Accesses through wardend, many in one request and one by one.
[[nodiscard]] Result<Entries> bench_batch(const Options& options);
// Instructions of the simulator's cores.
[[nodiscard]] Result<Entries> bench_interpreter(const Options& options);
// What a simulated board costs while its cores wait.
[[nodiscard]] Result<Entries> bench_idle(const Options& options);
// Routers paused and resumed, workers ended, traffic noticed.
[[nodiscard]] Result<Entries> bench_fabric(const Options& options);

}  // namespace warden::bench
