// SPDX-License-Identifier: Apache-2.0
// Traffic for tests: one sink a device, generators between pairs of devices, and the question whether every packet came
// through once, in order and as it was sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/worker.h"

namespace warden::fabric::testing {

inline constexpr std::chrono::milliseconds kPatience{30'000};

struct TrafficOptions {
  std::uint32_t packets = 0;  // 0: until the end
  std::uint32_t payload_bytes = 256;
  std::uint32_t interval_cycles = 0;
};

// Awaits that the sink has everything that the generator sent, which has ended: each packet once, in order, unchanged.
// What goes wrong fails the test. Answers how many there were.
std::uint32_t expect_exact(ControlPlane& fabric, const Worker& generator, const Worker& sink);

// What goes wrong fails the test. Workers stay when it is destroyed.
class Traffic {
 public:
  Traffic(ControlPlane& fabric, const TrafficOptions& options) : fabric_(&fabric), options_(options) {}

  struct Flow {
    FabricNodeId source;
    FabricNodeId destination;
    Worker generator;
    std::uint32_t sent = 0;  // when it was last read
  };

  void all_pairs();
  // From every device to the one `distance` further on in its mesh.
  void everywhere(std::size_t distance);
  void add(const FabricNodeId& source, const FabricNodeId& destination);
  // Of generators that send a number of packets.
  void await_complete();
  // Tears all down, generators first, and gives back what they had.
  void end();
  // Of all flows. After await_complete() or end(). Answers how many packets there were.
  std::uint64_t expect_exact();
  // Its workers are gone, as after a reset, and what was sent to it is not counted any more.
  void forget(const FabricNodeId& node);

  [[nodiscard]] const std::vector<Flow>& flows();
  [[nodiscard]] const Worker& sink(const FabricNodeId& node);

 private:
  ControlPlane* fabric_;
  TrafficOptions options_;
  std::vector<Flow> flows_;
  std::map<FabricNodeId, Worker> sinks_;
};

}  // namespace warden::fabric::testing
