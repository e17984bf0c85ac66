// SPDX-License-Identifier: Apache-2.0
// FabricCommandInterface where tt-metal's tests look for it.
#pragma once

#include "driver/fabric/command_interface.h"
#include "tests/tt_metal/common/log.hpp"
#include "tests/tt_metal/common/metal_context.hpp"

namespace tt::tt_fabric::test_utils {

using warden::fabric::DEFAULT_PAUSE_TIMEOUT;
using warden::fabric::DEFAULT_POLL_INTERVAL;
using warden::fabric::FabricCommandInterface;

}  // namespace tt::tt_fabric::test_utils

namespace test_utils = tt::tt_fabric::test_utils;
