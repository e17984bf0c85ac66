// SPDX-License-Identifier: Apache-2.0
// Telling systemd (or nobody) how the daemon fares.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace warden::daemon {

// How often the service manager wants a sign of life; asked by the keeper, whose pid it names.
[[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval();

void tell_ready(const std::string& status);
void tell_status(const std::string& status);
void tell_stopping();
void tell_alive();

}  // namespace warden::daemon
