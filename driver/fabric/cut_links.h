// SPDX-License-Identifier: Apache-2.0
// The links of chips that come back from a reset, and what their routers are to be told.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/plan.h"

namespace warden::fabric {

struct CutLinks {
  std::vector<RouterId> facing_up;    // whose links are up again, at both ends
  std::vector<RouterId> facing_down;  // those that are not
  std::vector<CardLinks> words;       // of all cards; of those of the chips what they say
};

// Until the chips can be read, none of their links trains, and all that lead into the cut are up; or patience ends.
// Errors: a chip that still can't be read.
[[nodiscard]] Result<CutLinks> await_cut_links(const ControlPlane& fabric, std::span<const FabricNodeId> chips,
                                               RouterSpan facing, Patience& patience);

// The routers of the chips: their place in the mesh as it was, their tables for the links that there are.
[[nodiscard]] Result<std::vector<RouterPlan>> plan_cut(const ControlPlane& fabric, std::span<const FabricNodeId> chips,
                                                       const CutLinks& links);

}  // namespace warden::fabric
