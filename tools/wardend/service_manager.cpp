// SPDX-License-Identifier: Apache-2.0
// sd_notify(3): does nothing where $NOTIFY_SOCKET is unset.
#include "tools/wardend/service_manager.h"

#include <systemd/sd-daemon.h>

namespace warden::daemon {

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t interval_us = 0;
  if (::sd_watchdog_enabled(0, &interval_us) <= 0) return std::nullopt;
  return std::chrono::microseconds(interval_us);
}

void tell_ready(const std::string& status) { (void)::sd_notify(0, ("READY=1\nSTATUS=" + status).c_str()); }
void tell_status(const std::string& status) { (void)::sd_notify(0, ("STATUS=" + status).c_str()); }
void tell_stopping() { (void)::sd_notify(0, "STOPPING=1"); }
void tell_alive() { (void)::sd_notify(0, "WATCHDOG=1"); }

}  // namespace warden::daemon
