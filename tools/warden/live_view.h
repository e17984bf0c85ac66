// SPDX-License-Identifier: Apache-2.0
// A view that is printed again and again until Ctrl-C: redrawn in place on a terminal, block after block elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <warden/result.h>

namespace warden::cli {

// What the view shows now; an error ends it.
using Frame = std::function<Result<std::string>()>;

// Until SIGINT or SIGTERM, which end the program at once with status 0 and the terminal as it was; answers the exit
// status otherwise. Takes the whole program: call it last, from one thread.
int run_live_view(const Frame& frame, std::chrono::milliseconds interval);

}  // namespace warden::cli
