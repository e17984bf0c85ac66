// SPDX-License-Identifier: Apache-2.0
// What the shell sees of `warden listen -- COMMAND`: a process that behaves as the command would.
#pragma once

#include "tools/warden/guard.h"

namespace warden::cli {

// Starts the guard (see guard.h), forwards signals to the command, and answers its exit status: its own, or 128 and
// the signal that killed it; 126 or 127 when it could not be run; 1 when wardend could not be reached.
int run_front(const ListenOptions& options);

}  // namespace warden::cli
