// SPDX-License-Identifier: Apache-2.0
// Telling tt-umd's listeners: the sockets that unmodified tt-umd programs leave in one world-writable directory, each
// of which takes a connection and one byte a message.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::daemon {

inline constexpr const char* kUmdListenerDirectory = "/tmp/tt_umd_listeners";

// The two messages of tt-umd's warm reset notification (tt-umd, warm_reset).
enum class UmdMessage : std::uint8_t { kPreReset = 0x01, kPostReset = 0x02 };

// A process that took a message. It can't acknowledge; only its death says more.
struct UmdListener {
  int pid = 0;  // as we see it; 0 when it lives in a namespace we can't see
  std::string name;
  UniqueFd pidfd;  // readable when it has died; may be empty
};

// Sends `message` to every listener in `directory` but the socket named `own_name`: all at once, never blocking on one
// of them, done after `bound` at the latest. Stale sockets, and files that are no sockets, are passed over; symbolic
// links are not followed. Returns who took it. kNotFound and other errors speak of the directory itself.
[[nodiscard]] Result<std::vector<UmdListener>> notify_umd_listeners(const std::string& directory, UmdMessage message,
                                                                    const std::string& own_name,
                                                                    std::chrono::milliseconds bound);

}  // namespace warden::daemon
