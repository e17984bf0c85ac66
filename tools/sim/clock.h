// SPDX-License-Identifier: Apache-2.0
// Where the simulated card takes its time from: the monotonic clock, or a test's own.
#pragma once

#include <chrono>
#include <functional>

namespace warden::sim {

using TimePoint = std::chrono::steady_clock::time_point;
using NowFunction = std::function<TimePoint()>;

}  // namespace warden::sim
