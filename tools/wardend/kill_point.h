// SPDX-License-Identifier: Apache-2.0
// Where a process that writes memory which outlives it may be killed: every store above is seen, none below.
#pragma once

#include <atomic>

namespace warden::daemon {

// SIGKILL ends a thread between two of its instructions, and whoever reads the memory afterwards sees all that came
// before: the processor needs no fence for that, only the compiler must keep the order.
inline void kill_point() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace warden::daemon
