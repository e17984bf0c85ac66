// SPDX-License-Identifier: Apache-2.0
// What the subcommands of `warden` share: each adds itself to the command line and leaves behind what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <warden/session.h>

namespace warden::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct Context {
  std::string socket_path;                // --socket; empty: the library's default
  std::vector<std::string> command_line;  // what followed `--`
  char** argv = nullptr;                  // main's own
  std::function<int()> run;               // set by the subcommand that was typed; its value is the exit status
};

void add_allocs_command(CLI::App& app, Context& context);
void add_bind_command(CLI::App& app, Context& context);
void add_unbind_command(CLI::App& app, Context& context);
void add_doctor_command(CLI::App& app, Context& context);
void add_devices_command(CLI::App& app, Context& context);
void add_reset_command(CLI::App& app, Context& context);
void add_listen_command(CLI::App& app, Context& context);
void add_events_command(CLI::App& app, Context& context);
void add_fabric_command(CLI::App& app, Context& context);
void add_sessions_command(CLI::App& app, Context& context);
void add_status_command(CLI::App& app, Context& context);
void add_peek_command(CLI::App& app, Context& context);
void add_poke_command(CLI::App& app, Context& context);
void add_completions_command(CLI::App& app, Context& context);

// Attaches as `warden`, by the global options.
[[nodiscard]] Result<std::shared_ptr<Session>> attach(const Context& context, bool pollable = false);

// `warden: MESSAGE` on stderr, and the exit status to go with it.
int report(const Error& error);

}  // namespace warden::cli
