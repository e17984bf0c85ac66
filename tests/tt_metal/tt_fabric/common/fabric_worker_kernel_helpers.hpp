// SPDX-License-Identifier: Apache-2.0
// Traffic generators as tt-metal's tests handle them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "tests/tt_metal/common/metal_context.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_fixture.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_traffic_generator_defs.hpp"

namespace tt::tt_fabric::test_utils {

using tt_fabric::WorkerMemoryLayout;

WorkerMemoryLayout allocate_worker_memory(const std::shared_ptr<tt_metal::distributed::MeshDevice>& device);

std::shared_ptr<tt_metal::Program> create_traffic_generator_program(
    const std::shared_ptr<tt_metal::distributed::MeshDevice>& device, const tt_metal::CoreCoord& logical_core,
    const FabricNodeId& dest_fabric_node, const WorkerMemoryLayout& mem_layout);

void signal_worker_teardown(const std::shared_ptr<tt_metal::distributed::MeshDevice>& device,
                            const tt_metal::CoreCoord& logical_core, std::uint32_t teardown_signal_address);

// Throws std::runtime_error: "Worker X did not complete in time".
void wait_for_worker_complete(BaseFabricFixture* fixture,
                              const std::shared_ptr<tt_metal::distributed::MeshDevice>& device,
                              tt_metal::Program& program,
                              std::chrono::milliseconds timeout = std::chrono::milliseconds(1000));

}  // namespace tt::tt_fabric::test_utils

namespace test_utils = tt::tt_fabric::test_utils;
