// SPDX-License-Identifier: Apache-2.0
// How every subcommand reaches wardend and says that it could not.
#include "tools/warden/command.h"

#include <fmt/format.h>

#include <cstdio>

namespace warden::cli {

Result<std::shared_ptr<Session>> attach(const Context& context, bool pollable) {
  AttachOptions options;
  options.socket_path = context.socket_path;
  options.name = "warden";
  options.pollable = pollable;
  return Session::attach(options);
}

int report(const Error& error) {
  fmt::print(stderr, "warden: {}\n", error.message);
  return kExitFailed;
}

}  // namespace warden::cli
