// SPDX-License-Identifier: Apache-2.0
// See realtime.h.
#include "bpf/realtime.h"

#include <sched.h>

namespace warden::bpf {

Status make_thread_realtime() {
  sched_param parameters{};
  parameters.sched_priority = 1;  // any of them goes before all ordinary threads
  if (::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) == 0) return {};
  return fail_errno("real-time scheduling (needs CAP_SYS_NICE or LimitRTPRIO=1)");
}

}  // namespace warden::bpf
