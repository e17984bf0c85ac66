// SPDX-License-Identifier: Apache-2.0
// Traffic generators by tt-metal's names.
#include "tests/tt_metal/tt_fabric/common/fabric_worker_kernel_helpers.hpp"

#include <stdexcept>

namespace tt::tt_fabric::test_utils {

WorkerMemoryLayout allocate_worker_memory(const std::shared_ptr<tt_metal::distributed::MeshDevice>& /*device*/) {
  const auto layout = warden::fabric::allocate_worker_memory();
  if (!layout) throw std::runtime_error(layout.error().message);
  return *layout;
}

std::shared_ptr<tt_metal::Program> create_traffic_generator_program(
    const std::shared_ptr<tt_metal::distributed::MeshDevice>& device, const tt_metal::CoreCoord& logical_core,
    const FabricNodeId& dest_fabric_node, const WorkerMemoryLayout& mem_layout) {
  auto program = std::make_shared<tt_metal::Program>();
  program->tile = device->tile(logical_core);
  program->options.destination = dest_fabric_node;
  program->options.memory = mem_layout;
  return program;
}

void signal_worker_teardown(const std::shared_ptr<tt_metal::distributed::MeshDevice>& device,
                            const tt_metal::CoreCoord& logical_core, std::uint32_t teardown_signal_address) {
  const auto told = device->card().write32(device->tile(logical_core), {teardown_signal_address}, WORKER_TEARDOWN);
  if (!told) throw std::runtime_error(told.error().message);
}

void wait_for_worker_complete(BaseFabricFixture* fixture,
                              const std::shared_ptr<tt_metal::distributed::MeshDevice>& device,
                              tt_metal::Program& program, std::chrono::milliseconds timeout) {
  fixture->WaitForSingleProgramDone(device, program, timeout);
}

}  // namespace tt::tt_fabric::test_utils
