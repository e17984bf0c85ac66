// SPDX-License-Identifier: Apache-2.0
// Blocks of 4 bytes to 1 MiB written from the driver to the L1 of a simulated card in another process, beside two
// processes with a bare socket between them: one sends the same bytes behind a header, the other keeps them and
// answers.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
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
constexpr std::uint64_t kWindowRegister = 0x1FC00000;   // of the first, of 1 MiB
constexpr std::uint64_t kTensix = 1U << 16 | 1U << 22;  // (1,1) from address 0
constexpr std::size_t kHeaderBytes = sizeof(vfio::wire::Header) + sizeof(vfio::wire::RegionAccess);
constexpr std::size_t kBlockMax = 1 << 20;
constexpr std::size_t kRoundBytes = 4 << 20;
constexpr std::size_t kRoundBlocksMax = 64;

bool send_all(int socket, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

bool receive_all(int socket, std::span<std::byte> bytes) {
  return ::recv(socket, bytes.data(), bytes.size(), MSG_WAITALL) == static_cast<ssize_t>(bytes.size());
}

// The header says how many bytes follow.
void keep_for_ever(int socket) {
  std::vector<std::byte> memory(kBlockMax);
  std::array<std::byte, kHeaderBytes> header{};
  while (receive_all(socket, header)) {
    std::uint32_t size = 0;
    std::memcpy(&size, header.data(), sizeof(size));
    if (!receive_all(socket, std::span(memory).first(size)) || !send_all(socket, header)) return;
  }
}

Status hand_over(int socket, std::vector<std::byte>& message, std::size_t size) {
  const auto length = static_cast<std::uint32_t>(size);
  std::memcpy(message.data(), &length, sizeof(length));
  std::array<std::byte, kHeaderBytes> reply{};
  if (!send_all(socket, std::span(message).first(kHeaderBytes + size)) || !receive_all(socket, reply)) {
    return fail_errno("hand bytes over a socket", errno);
  }
  return {};
}

template <typename Work>
Result<double> megabytes_a_second(std::size_t block, const Work& work) {
  const std::size_t blocks = std::min(kRoundBytes / block, kRoundBlocksMax);
  const std::uint64_t begin_ns = now_ns();
  for (std::size_t i = 0; i < blocks; ++i) {
    if (Status done = work(); !done) return std::unexpected(std::move(done).error());
  }
  return static_cast<double>(blocks * block) * 1000 / static_cast<double>(now_ns() - begin_ns);
}

}  // namespace

Result<Entries> bench_vfio_user_write(const Options& options) {
  const OneProcessor one_processor;
  test::Host host;
  if (!host.start_simulator()) return fail(Code::kFailed, host.why());
  auto device = vfio::open("vfio-user:" + host.directory() + "/sim/chip0.sock");
  if (!device) return std::unexpected(std::move(device).error());
  if (Status done = (*device)->write(kBar0, kWindowRegister, std::as_bytes(std::span(&kTensix, 1))); !done) {
    return std::unexpected(std::move(done).error());
  }

  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno("socketpair", errno);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  auto peer = Child::fork([&] { keep_for_ever(theirs.get()); });
  if (!peer) return std::unexpected(std::move(peer).error());

  Entries entries;
  std::vector<std::byte> message(kHeaderBytes + kBlockMax, std::byte{0x5A});
  for (std::size_t block = 4; block <= kBlockMax; block *= 8) {
    const auto bytes = std::span<const std::byte>(message).subspan(kHeaderBytes, block);
    std::vector<double> written;
    std::vector<double> handed;
    for (int round = 0; round < (options.quick ? 2 : 101); ++round) {
      const auto subject = megabytes_a_second(block, [&] { return (*device)->write(kBar0, 0, bytes); });
      if (!subject) return std::unexpected(subject.error());
      const auto bare = megabytes_a_second(block, [&] { return hand_over(ours.get(), message, block); });
      if (!bare) return std::unexpected(bare.error());
      written.push_back(*subject);
      handed.push_back(*bare);
    }
    entries.push_back({.name = "vfio-user/write/" + std::to_string(block),
                       .value = median(written),
                       .unit = "MB/s",
                       .baseline = "bare socket",
                       .baseline_value = median(handed),
                       .goal = ">= 0.75"});
  }
  return entries;
}

}  // namespace warden::bench
