// SPDX-License-Identifier: Apache-2.0
// Events of a reset as lines for people.
#pragma once

#include <string>

#include "shm/directory.h"

namespace warden::internal {

[[nodiscard]] std::string phase_name(shm::ResetPhase phase);
[[nodiscard]] std::string progress_line(const shm::Event& event);

}  // namespace warden::internal
