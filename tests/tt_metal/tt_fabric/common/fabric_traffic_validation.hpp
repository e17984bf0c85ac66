// SPDX-License-Identifier: Apache-2.0
// Traffic validation where tt-metal's tests look for it.
#pragma once

#include "driver/fabric/traffic_validation.h"
#include "tests/tt_metal/common/log.hpp"
#include "tests/tt_metal/common/metal_context.hpp"

namespace tt::tt_fabric::test_utils {

using warden::fabric::DEFAULT_TRAFFIC_SAMPLE_INTERVAL;
using warden::fabric::validate_traffic_flowing;
using warden::fabric::validate_traffic_stopped;

}  // namespace tt::tt_fabric::test_utils

namespace test_utils = tt::tt_fabric::test_utils;
