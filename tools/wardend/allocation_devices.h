// SPDX-License-Identifier: Apache-2.0
// wardend's cards in the terms of tt-metal's tools.
#pragma once

#include <vector>

#include "tools/wardend/allocation_answers.h"
#include "tools/wardend/devices.h"

namespace warden::daemon {

// In wardend's order, which is the number clients know a card by when they use all of them. A card that is lost, or of
// a kind nothing is known of, is not available.
[[nodiscard]] std::vector<AllocationDevice> allocation_devices(const Devices& devices);

}  // namespace warden::daemon
