// SPDX-License-Identifier: Apache-2.0
// A watcher that shares its processor with a large dying process hears of it milliseconds late, unless it goes first.
#pragma once

#include <warden/result.h>

namespace warden::bpf {

// SCHED_FIFO for the calling thread; what it forks is ordinary again. kPermission: without CAP_SYS_NICE or
// RLIMIT_RTPRIO; nothing has changed then.
[[nodiscard]] Status make_thread_realtime();

}  // namespace warden::bpf
