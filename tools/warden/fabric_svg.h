// SPDX-License-Identifier: Apache-2.0
// The meshes as a picture.
#pragma once

#include <string>

#include "tools/warden/fabric_map.h"

namespace warden::cli {

// A whole document of SVG 1.1: chips in their places, a line for every link, half of which has the colour of the router
// at that end and says how many words a second that one sends.
[[nodiscard]] std::string svg_of(const FabricMap& map);

}  // namespace warden::cli
