// SPDX-License-Identifier: Apache-2.0
// Who a pidfd means, as the exit program will see it: neither the number in the initial namespace nor the start time in
// nanoseconds is in /proc.
#pragma once

#include <optional>

#include <warden/result.h>

#include "bpf/exit_watch.h"

namespace warden::bpf {

// `program` is the task iterator. Nothing: all of the process's threads are gone.
[[nodiscard]] Result<std::optional<TaskIdentity>> identify_task(int program, int pidfd);

}  // namespace warden::bpf
