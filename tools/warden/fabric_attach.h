// SPDX-License-Identifier: Apache-2.0
// How the fabric's commands come to their control plane: over all cards that wardend knows.
#pragma once

#include <warden/result.h>

#include "driver/fabric/control_plane.h"
#include "tools/warden/command.h"

namespace warden::cli {

// The cards, and nothing looked for yet. What is logged goes to stderr.
[[nodiscard]] Result<fabric::ControlPlane> open_fabric(const Context& context);
// The fabric that runs; its remarks go to stderr. kNotFound, with the cure, when no router runs.
[[nodiscard]] Result<fabric::ControlPlane> attach_fabric(const Context& context);

void print_remarks(const std::vector<std::string>& remarks);

}  // namespace warden::cli
