// SPDX-License-Identifier: Apache-2.0
// Completion scripts for shells, made from the command line's own description so that they cannot fall behind it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace warden::cli {

[[nodiscard]] std::string bash_completions(const CLI::App& app);
[[nodiscard]] std::string zsh_completions(const CLI::App& app);
[[nodiscard]] std::string fish_completions(const CLI::App& app);

}  // namespace warden::cli
