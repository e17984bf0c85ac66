// SPDX-License-Identifier: Apache-2.0
// Writing words of a simulated card through wardend: many in one request, and each in one of its own.
#include <string>
#include <vector>

#include <warden/batch.h>
#include <warden/device.h>

#include "tests/bench/benchmarks.h"
#include "tests/support/host.h"

namespace warden::bench {

namespace {

constexpr Tile kTile{.x = 1, .y = 2};
constexpr double kNsPerUs = 1000;

Status write_singly(Device& device, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (auto written = device.write32(kTile, {i * sizeof(i)}, i); !written) return written;
  }
  return {};
}

Status write_together(Device& device, std::uint32_t count) {
  Batch batch(device);
  for (std::uint32_t i = 0; i < count; ++i) batch.write32(kTile, {i * sizeof(i)}, i);
  return batch.run();
}

Result<double> us_of(Status (*write)(Device&, std::uint32_t), Device& device, std::uint32_t count) {
  const std::uint64_t begin_ns = now_ns();
  if (auto written = write(device, count); !written) return std::unexpected(std::move(written).error());
  return static_cast<double>(now_ns() - begin_ns) / kNsPerUs;
}

}  // namespace

Result<Entries> bench_batch(const Options& options) {
  test::Host host;
  if (!host.start()) return fail(Code::kFailed, host.why());
  auto session = Session::attach({.socket_path = host.socket_path(), .name = "bench"});
  if (!session) return std::unexpected(std::move(session).error());
  auto device = Device::open(*session, "0");
  if (!device) return std::unexpected(std::move(device).error());
  Entries entries;
  for (const std::uint32_t count : {1U, 16U, 256U}) {
    std::vector<double> together_us;
    std::vector<double> singly_us;
    for (int round = 0; round < (options.quick ? 2 : 101); ++round) {
      const auto together = us_of(write_together, *device, count);
      const auto singly = us_of(write_singly, *device, count);
      if (!together) return std::unexpected(together.error());
      if (!singly) return std::unexpected(singly.error());
      together_us.push_back(*together);
      singly_us.push_back(*singly);
    }
    entries.push_back({"batch/write32/" + std::to_string(count), median(together_us), "us", "as many single writes",
                       median(singly_us), count == 1 ? "<= 1.2" : "< 1"});
  }
  return entries;
}

}  // namespace warden::bench
