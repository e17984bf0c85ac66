// SPDX-License-Identifier: Apache-2.0
// The process behind `warden listen -- COMMAND`: it starts the command, holds the session with wardend, and stops and
// continues the command's processes around resets.
//
//   shell ── front ── guard ── command ── ...
//            │        │        └ in the front's process group: terminal and stdin are its own
//            │        └ parent and subreaper of the command, in a process group of its own
//            └ what the shell started: forwards signals, ends with the command's status
//
// Why a process between them: whichever of the two is killed, the other is left to continue a paused command. And a
// parent of the same terminal session outside the command's process group keeps that group from being orphaned:
// when an orphaned group has stopped members, the kernel sends it SIGHUP and SIGCONT, in the middle of the reset.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <warden/unique_fd.h>

namespace warden::cli {

enum class OnReset { kStop, kPause };

struct ListenOptions {
  std::string socket_path;
  std::vector<std::string> devices;
  std::vector<std::string> command_line;
  OnReset on_reset = OnReset::kPause;
  // After SIGTERM, with kStop; zero: never.
  std::chrono::milliseconds kill_after{0};
  bool quiet = false;
  char** argv = nullptr;  // main's own, where the guard writes its name
};

// What the guard tells the front, one packet each.
struct GuardNews {
  enum class Kind : int { kStarted, kExited };
  Kind kind{};
  int value = 0;             // the command's pid; the status to exit with
  bool guard_stays = false;  // with kExited: orphans are left, and guarded
};

// Runs in the forked guard until nothing of the command is left. `news`: packets to the front. `command_signals`: the
// signal mask that the command is started with. Answers the guard's own exit status.
int run_guard(const ListenOptions& options, UniqueFd news, const sigset_t& command_signals);

// The same for a successor: the front forks it when the first guard was killed. `news` closes when the front has no
// more need for it. The command and its orphans are the front's children now.
int run_second_guard(const ListenOptions& options, UniqueFd news, pid_t front, pid_t command);

}  // namespace warden::cli
