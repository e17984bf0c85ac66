// SPDX-License-Identifier: Apache-2.0
// The listings of devices and sessions as JSON text.
#pragma once

#include <string>

#include "tools/wardend/broker.h"
#include "tools/wardend/cleaner.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/reaper.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

[[nodiscard]] std::string devices_listing(const Devices& devices, const SessionTable& sessions, const Broker& broker);
[[nodiscard]] std::string sessions_listing(const Devices& devices, const SessionTable& sessions, const Reaper& reaper,
                                           const Cleaner& cleaner);
[[nodiscard]] std::string_view to_string(shm::DeviceState state) noexcept;

}  // namespace warden::daemon
