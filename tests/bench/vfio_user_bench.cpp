// SPDX-License-Identifier: Apache-2.0
// A 32-bit register read over vfio-user, from the driver to a simulated card in another process and back, beside two
// processes that only throw packets of the same sizes to each other.
#include <sys/socket.h>

#include <array>
#include <vector>

#include <warden/unique_fd.h>

#include "driver/vfio/device.h"
#include "driver/vfio/vfio_user_wire.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/child.h"
#include "tests/bench/one_processor.h"
#include "tests/support/host.h"

namespace warden::bench {

namespace {

constexpr std::uint32_t kBar0 = 0;
constexpr std::uint64_t kPostCode = 0x1FF3'0060;  // ARC reset unit, SCRATCH[0] (tt-isa-documentation)
constexpr std::size_t kRequestBytes = sizeof(vfio::wire::Header) + sizeof(vfio::wire::RegionAccess);
constexpr std::size_t kReplyBytes = kRequestBytes + sizeof(std::uint32_t);
constexpr int kReadsARound = 64;
constexpr double kNsPerUs = 1000;

void answer_for_ever(int socket) {
  std::array<std::byte, kReplyBytes> bytes{};
  while (::recv(socket, bytes.data(), kRequestBytes, MSG_WAITALL) == static_cast<ssize_t>(kRequestBytes)) {
    if (::send(socket, bytes.data(), kReplyBytes, MSG_NOSIGNAL) != static_cast<ssize_t>(kReplyBytes)) return;
  }
}

Status ping(int socket) {
  std::array<std::byte, kReplyBytes> bytes{};
  const bool done = ::send(socket, bytes.data(), kRequestBytes, MSG_NOSIGNAL) == static_cast<ssize_t>(kRequestBytes) &&
                    ::recv(socket, bytes.data(), kReplyBytes, MSG_WAITALL) == static_cast<ssize_t>(kReplyBytes);
  if (!done) return fail_errno("ping-pong", errno);
  return {};
}

template <typename Work>
Result<double> us_of_one(const Work& work) {
  const std::uint64_t begin_ns = now_ns();
  for (int i = 0; i < kReadsARound; ++i) {
    if (auto ok = work(); !ok) return std::unexpected(std::move(ok).error());
  }
  return static_cast<double>(now_ns() - begin_ns) / kReadsARound / kNsPerUs;
}

}  // namespace

Result<Entries> bench_vfio_user(const Options& options) {
  const OneProcessor one_processor;
  test::Host host;
  if (!host.start_simulator()) return fail(Code::kFailed, host.why());
  auto device = vfio::open("vfio-user:" + host.directory() + "/sim/chip0.sock");
  if (!device) return std::unexpected(std::move(device).error());

  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno("socketpair", errno);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  auto peer = Child::fork([&] { answer_for_ever(theirs.get()); });
  if (!peer) return std::unexpected(std::move(peer).error());

  const auto read_register = [&] {
    std::array<std::byte, sizeof(std::uint32_t)> value{};
    return (*device)->read(kBar0, kPostCode, value);
  };
  const auto ping_pong = [&] { return ping(ours.get()); };
  std::vector<double> reads;
  std::vector<double> pings;
  const int rounds = options.quick ? 3 : 301;
  for (int round = 0; round < rounds; ++round) {
    const auto read = us_of_one(read_register);
    if (!read) return std::unexpected(read.error());
    reads.push_back(*read);
    const auto bare = us_of_one(ping_pong);
    if (!bare) return std::unexpected(bare.error());
    pings.push_back(*bare);
  }
  return Entries{{"vfio-user/read32", median(reads), "us", "socket ping-pong", median(pings), "<= 1.3"}};
}

}  // namespace warden::bench
