// SPDX-License-Identifier: Apache-2.0
// The driver's names for places on a card; the types are those of the public header.
#pragma once

#include <warden/cores.h>
#include <warden/tile.h>

namespace warden::chip {

using warden::CardAddress;
using warden::Cores;
using warden::Tile;
using warden::TileRectangle;

}  // namespace warden::chip
