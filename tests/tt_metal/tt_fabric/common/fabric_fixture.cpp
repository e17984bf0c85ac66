// SPDX-License-Identifier: Apache-2.0
// Starting a fabric for tests, and leaving it as it was found.
#include "tests/tt_metal/tt_fabric/common/fabric_fixture.hpp"

#include <algorithm>
#include <stdexcept>

#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/worker.h"

namespace fabric = warden::fabric;
using warden::kernels::WorkerKind;

namespace {

constexpr std::chrono::milliseconds kPatience{5000};

void check(const warden::Status& done) {
  if (!done) throw std::runtime_error(done.error().message);
}

template <typename T>
T value_of(warden::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

warden::chip::Tile sink_at(fabric::ControlPlane& control_plane, const fabric::FabricNodeId& node) {
  for (const fabric::Worker& worker : value_of(fabric::find_workers(control_plane))) {
    if (worker.kind == WorkerKind::kSink && worker.node == node) return worker.tile;
  }
  const auto tile = value_of(fabric::free_tile(control_plane, node));
  return value_of(fabric::start_sink(control_plane, node, tile)).tile;
}

}  // namespace

void BaseFabricFixture::start(const std::string& board) {
  auto& context = tt::tt_metal::MetalContext::instance();
  context.start(board);
  auto& control_plane = context.get_control_plane();
  for (const MeshId mesh : control_plane.get_user_physical_mesh_ids()) {
    for (const FabricNodeId& node : control_plane.devices(mesh)) {
      devices_.push_back(std::make_shared<tt::tt_metal::distributed::MeshDevice>(control_plane, node));
    }
  }
}

void BaseFabricFixture::TearDown() { stop_all_workers(); }

void BaseFabricFixture::RunProgramNonblocking(const Device& device, tt::tt_metal::Program& program) {
  program.options.destination_tile = sink_at(device->fabric(), program.options.destination);
  program.worker = value_of(fabric::start_generator(device->fabric(), device->node(), program.tile, program.options));
}

void BaseFabricFixture::WaitForSingleProgramDone(const Device& device, tt::tt_metal::Program& program,
                                                 std::chrono::milliseconds timeout) {
  if (!program.worker) throw std::runtime_error("the program does not run");
  check(fabric::wait_for_worker_complete(device->fabric(), *program.worker, timeout));
  check(fabric::detach_worker(device->fabric(), *program.worker, timeout));
  program.worker.reset();
}

void BaseFabricFixture::stop_all_workers() {
  auto& control_plane = tt::tt_metal::MetalContext::instance().get_control_plane();
  fabric::FabricRouterStateManager manager(control_plane);
  const fabric::Transition resumed = manager.resume(control_plane.all());
  EXPECT_TRUE(resumed.complete()) << to_string(resumed);
  auto workers = fabric::find_workers(control_plane);
  ASSERT_TRUE(workers) << workers.error().message;
  // Generators first: a sink goes when nothing is on its way to it any more.
  std::ranges::stable_sort(*workers, {}, &fabric::Worker::kind);
  for (const fabric::Worker& worker : *workers) {
    check(fabric::signal_worker_teardown(control_plane, worker));
    check(fabric::wait_for_worker_complete(control_plane, worker, kPatience));
    check(fabric::detach_worker(control_plane, worker, kPatience));
  }
}
