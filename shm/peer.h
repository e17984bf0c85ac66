// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a session socket: process, owner, and a pidfd that can never mean anybody else.
#pragma once

#include <cstdint>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::shm {

struct Peer {
  int pid = 0;  // in our PID namespace; 0 when the peer has no number there
  std::uint32_t user_id = 0;
  std::uint32_t group_id = 0;
  UniqueFd pidfd;                   // readable when the process has died
  std::uint64_t start_time_ns = 0;  // CLOCK_BOOTTIME, 10 ms ticks from /proc; 0 when unknown
  std::string name;                 // /proc/PID/comm; may be empty
};

// SO_PEERPIDFD where the kernel has it (6.5); else pidfd_open of the SO_PEERCRED pid, confirmed by the start time
// being the same before and after.
[[nodiscard]] Result<Peer> identify_peer(int socket);

// Another process, by number, as a session's subject: same answers.
[[nodiscard]] Result<Peer> identify_process(int pid);

}  // namespace warden::shm
