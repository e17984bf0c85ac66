// SPDX-License-Identifier: Apache-2.0
// Serving the grant: a target that passes accesses on to the card's own connection.
#include "tools/wardend/direct_grant.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace warden::daemon {

namespace {

using vfio::Reply;

Reply<void> passed_on(const Status& status) {
  if (status) return {};
  switch (status.error().code) {
    case Code::kInvalidArgument: return std::unexpected(EINVAL);
    case Code::kTimeout: return std::unexpected(ETIMEDOUT);
    default: return std::unexpected(EIO);
  }
}

class Forwarder final : public vfio::VfioUserTarget {
 public:
  explicit Forwarder(vfio::Device& device) : device_(device) {}

  vfio::DeviceInfo info() override {
    vfio::DeviceInfo info = device_.info();
    info.can_reset = false;
    return info;
  }
  vfio::RegionInfo region(std::uint32_t index) override {
    return device_.region(index).value_or(vfio::RegionInfo{.index = index});
  }
  vfio::IrqInfo irq(std::uint32_t index) override { return device_.irq(index).value_or(vfio::IrqInfo{.index = index}); }
  Reply<void> read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) override {
    return passed_on(device_.read(region, offset, into));
  }
  Reply<void> write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) override {
    return passed_on(device_.write(region, offset, from));
  }

  Reply<void> dma_map(vfio::Iova, std::uint64_t, UniqueFd, std::uint64_t, vfio::DmaAccess) override {
    return refused();
  }
  Reply<void> dma_unmap(vfio::Iova, std::uint64_t) override { return refused(); }
  void dma_unmap_all() override {}
  Reply<void> set_irq_eventfds(std::uint32_t, std::uint32_t, std::vector<UniqueFd>) override { return refused(); }
  Reply<void> trigger_irqs(std::uint32_t, std::uint32_t, std::uint32_t) override { return refused(); }
  Reply<void> disable_irqs(std::uint32_t) override { return refused(); }
  Reply<void> reset() override { return refused(); }

 private:
  static Reply<void> refused() { return std::unexpected(EPERM); }
  vfio::Device& device_;
};

}  // namespace

Result<DirectGrant::Opened> DirectGrant::open(vfio::Device& device, std::function<void()> ended) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno("socketpair of a direct grant");
  }
  UniqueFd peer(ends[1]);
  return Opened{std::unique_ptr<DirectGrant>(new DirectGrant(device, UniqueFd(ends[0]), std::move(ended))),
                std::move(peer)};
}

DirectGrant::DirectGrant(vfio::Device& device, UniqueFd socket, std::function<void()> ended)
    : target_(std::make_unique<Forwarder>(device)),
      session_(std::move(socket), *target_, vfio::VersionAgreed::kBefore),
      thread_([this, name = device.name(), ended = std::move(ended)] {
        // A peer that breaks the protocol harms itself alone.
        if (Status served = session_.serve(); !served) spdlog::warn("{}, direct: {}", name, served.error().message);
        session_.stop();
        ended();
      }) {}

DirectGrant::~DirectGrant() {
  stop();
  thread_.join();
}

}  // namespace warden::daemon
