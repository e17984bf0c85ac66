// SPDX-License-Identifier: Apache-2.0
// The mailbox protocol of traffic generators where tt-metal's tests look for it.
#pragma once

#include "tests/tt_metal/common/metal_context.hpp"

using tt::tt_fabric::WORKER_KEEP_RUNNING;
using tt::tt_fabric::WORKER_TEARDOWN;
