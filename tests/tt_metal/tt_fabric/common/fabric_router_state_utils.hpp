// SPDX-License-Identifier: Apache-2.0
// Router states where tt-metal's tests look for them.
#pragma once

#include "driver/fabric/router_state.h"
#include "driver/fabric/router_state_utils.h"
#include "tests/tt_metal/common/log.hpp"
#include "tests/tt_metal/common/metal_context.hpp"

namespace tt::tt_fabric::test_utils {

using warden::fabric::count_routers_by_state;
using warden::fabric::log_all_router_states;
using warden::fabric::router_state_to_string;

}  // namespace tt::tt_fabric::test_utils

namespace test_utils = tt::tt_fabric::test_utils;
