// SPDX-License-Identifier: Apache-2.0
// `warden-sim ctl`: the command-line side of the control socket.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include <warden/result.h>

namespace warden::sim {

// Asks the simulator that serves `directory`, and gives its answer; a refusal is an error.
[[nodiscard]] Result<nlohmann::json> ask_simulator(const std::string& directory, const nlohmann::json& request);

// An answer to `stats` or `status` for people: one block a chip.
[[nodiscard]] std::string to_text(const nlohmann::json& answer);

}  // namespace warden::sim
