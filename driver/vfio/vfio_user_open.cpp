// SPDX-License-Identifier: Apache-2.0
// How a vfio-user connection begins: connect and agree on a version, or take over a socket that has one, then learn
// what the device consists of.
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <nlohmann/json.hpp>

#include "driver/vfio/capability.h"
#include "driver/vfio/vfio_user_client.h"

namespace warden::vfio {
namespace {

using Json = nlohmann::json;

// More regions or interrupts than any PCI function has: the peer is not a device.
constexpr std::uint32_t kMaxRegions = 64;
constexpr std::uint32_t kMaxIrqs = 64;
// Below this not even one register access fits.
constexpr std::uint32_t kMinTransferBytes = 16;
// Room for capabilities behind a server's answers.
constexpr std::size_t kSpareReplyBytes = 1024;

std::span<const std::byte> bytes_of(const auto& object) { return std::as_bytes(std::span(&object, 1)); }
std::span<std::byte> writable_bytes_of(auto& object) { return std::as_writable_bytes(std::span(&object, 1)); }

std::string own_capabilities() {
  return Json{
      {"capabilities", {{"max_msg_fds", wire::kMaxMessageFds}, {"max_data_xfer_size", wire::kMaxTransferBytes}}}}
      .dump();
}

// A capability that is a plain number, or `otherwise`; one of another type is as good as unknown.
std::uint64_t number_capability(const Json& capabilities, const char* key, std::uint64_t otherwise) {
  if (!capabilities.is_object()) return otherwise;
  const auto found = capabilities.find(key);
  return found != capabilities.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : otherwise;
}

Result<UniqueFd> connect_socket(std::string_view path, int timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(Code::kInvalidArgument,
                fmt::format("the path is {} bytes long, a socket's may be {}; use a shorter directory", path.size(),
                            sizeof(address.sun_path) - 1));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket");
  // A server with a full backlog would make connect wait for ever.
  const timeval limit{timeout_ms / 1000, (timeout_ms % 1000) * 1000};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return socket;
  const int error_number = errno;
  auto refused = fail_errno("connect", error_number);
  if (error_number == ENOENT || error_number == ECONNREFUSED) {
    refused.error().message += "; is the simulator running? start it with warden-sim";
  }
  return refused;
}

}  // namespace

VfioUserClient::VfioUserClient(std::string_view name, UniqueFd socket, const OpenOptions& options)
    : LearntDevice(name), channel_(std::move(socket), options.request_timeout_ms) {}

Result<std::unique_ptr<Device>> VfioUserClient::connect(std::string_view name, std::string_view path,
                                                        const OpenOptions& options) {
  const std::string opening = fmt::format("open {}", name);
  auto socket = connect_socket(path, options.request_timeout_ms);
  if (!socket) return wrap(std::move(socket).error(), opening);
  std::unique_ptr<VfioUserClient> client(new VfioUserClient(name, std::move(*socket), options));
  if (auto agreed = client->negotiate(); !agreed) return wrap(std::move(agreed).error(), opening);
  if (auto learnt = client->learn_device(); !learnt) return wrap(std::move(learnt).error(), opening);
  return client;
}

Result<std::unique_ptr<Device>> VfioUserClient::adopt(std::string_view name, UniqueFd socket,
                                                      const OpenOptions& options) {
  std::unique_ptr<VfioUserClient> client(new VfioUserClient(name, std::move(socket), options));
  client->channel_.expect_stale_replies();
  // The predecessor's limits are not known any more: the protocol's smallest promise for descriptors holds, and every
  // server has to take transfers of our size (its default is 1 MiB; ours offers kMaxTransferBytes).
  if (auto learnt = client->learn_device(); !learnt) {
    return wrap(std::move(learnt).error(), fmt::format("adopt {}", name));
  }
  return client;
}

Status VfioUserClient::negotiate() {
  const wire::Version asked{wire::kMajorVersion, wire::kMinorVersion};
  const std::string capabilities = own_capabilities();
  const std::array request{bytes_of(asked), std::as_bytes(std::span(capabilities.c_str(), capabilities.size() + 1))};
  std::array<std::byte, wire::kMaxMessageBytes - sizeof(wire::Header)> answer;
  const std::array<std::span<std::byte>, 1> reply{answer};
  auto received = channel_.exchange({.command = wire::Command::kVersion,
                                     .request = request,
                                     .reply = reply,
                                     .reply_min_bytes = sizeof(wire::Version)});
  if (received) return accept_version(std::span(answer).first(*received));
  if (received.error().code == Code::kBusy) return fail(Code::kBusy, "in use by another client; end that one first");
  return std::unexpected(std::move(received).error());
}

Status VfioUserClient::accept_version(std::span<const std::byte> reply) {
  wire::Version version{};
  std::memcpy(&version, reply.data(), sizeof(version));
  if (version.major != wire::kMajorVersion) {
    return fail(Code::kUnsupported, fmt::format("the server speaks vfio-user {}.{}, this build {}.{}", version.major,
                                                version.minor, wire::kMajorVersion, wire::kMinorVersion));
  }
  std::string_view text(reinterpret_cast<const char*>(reply.data()) + sizeof(version), reply.size() - sizeof(version));
  text = text.substr(0, text.find('\0'));
  const Json parsed = text.empty() ? Json::object() : Json::parse(text, nullptr, false);
  if (!parsed.is_object()) return fail(Code::kProtocol, "the server's capabilities are not a JSON object");
  const Json capabilities = parsed.value("capabilities", Json::object());
  const std::uint64_t transfer = number_capability(capabilities, "max_data_xfer_size", wire::kMaxTransferBytes);
  if (transfer < kMinTransferBytes) {
    return fail(Code::kProtocol, fmt::format("the server takes transfers of at most {} bytes, too few", transfer));
  }
  max_transfer_bytes_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(transfer, wire::kMaxTransferBytes)) & ~7U;
  page_sizes_ = number_capability(capabilities, "pgsizes", wire::kPageBytes);
  const std::uint64_t fds = number_capability(capabilities, "max_msg_fds", 1);
  max_message_fds_ = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fds, 1, wire::kMaxMessageFds));
  return {};
}

Status VfioUserClient::learn_device() {
  wire::DeviceInfo known{sizeof(wire::DeviceInfo), 0, 0, 0};
  std::array<std::byte, kSpareReplyBytes> spare;
  const std::array request{bytes_of(known)};
  wire::DeviceInfo answered{};
  const std::array<std::span<std::byte>, 2> reply{writable_bytes_of(answered), spare};
  auto received = channel_.exchange({.command = wire::Command::kDeviceGetInfo,
                                     .request = request,
                                     .reply = reply,
                                     .reply_min_bytes = sizeof(answered)});
  if (!received) return std::unexpected(std::move(received).error());
  if (answered.region_count > kMaxRegions || answered.irq_count > kMaxIrqs) {
    return fail(Code::kProtocol, fmt::format("the server claims {} regions and {} interrupts", answered.region_count,
                                             answered.irq_count));
  }
  backings_.resize(answered.region_count);
  return learn_parts(
      {answered.region_count, answered.irq_count, (answered.flags & VFIO_DEVICE_FLAGS_RESET) != 0},
      [this](std::uint32_t index) { return learn_region(index); },
      [this](std::uint32_t index) { return learn_irq(index); });
}

Result<RegionInfo> VfioUserClient::learn_region(std::uint32_t index) {
  std::array<std::byte, sizeof(wire::RegionInfo) + kSpareReplyBytes> answer;
  const wire::RegionInfo asked{answer.size(), 0, index, 0, 0, 0};
  std::vector<UniqueFd> fds;
  const std::array request{bytes_of(asked)};
  const std::array<std::span<std::byte>, 1> reply{answer};
  auto received = channel_.exchange({.command = wire::Command::kDeviceGetRegionInfo,
                                     .request = request,
                                     .reply = reply,
                                     .reply_min_bytes = sizeof(wire::RegionInfo),
                                     .reply_fds = &fds});
  if (!received) return std::unexpected(std::move(received).error());
  const std::span<const std::byte> bytes(answer.data(), *received);
  const auto answered = load_from<wire::RegionInfo>(bytes, 0);
  if (answered.index != index) return fail(Code::kProtocol, fmt::format("the answer is about {}", answered.index));
  // A server with more to say than there was room for may have left out which areas can be mapped.
  const bool complete = answered.argument_bytes <= answer.size();
  RegionInfo region{.index = index,
                    .size_bytes = answered.size,
                    .readable = (answered.flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                    .writable = (answered.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
                    .mappable = (answered.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0 && !fds.empty() && complete};
  if ((answered.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) {
    learn_mappable_areas(bytes, answered.capability_offset, region);
  }
  if (region.mappable) backings_[index] = {std::move(fds.front()), answered.offset};
  return region;
}

Result<IrqInfo> VfioUserClient::learn_irq(std::uint32_t index) {
  const wire::IrqInfo asked{sizeof(wire::IrqInfo), 0, index, 0};
  wire::IrqInfo answered{};
  const std::array request{bytes_of(asked)};
  const std::array reply{writable_bytes_of(answered)};
  auto received = channel_.exchange({.command = wire::Command::kDeviceGetIrqInfo,
                                     .request = request,
                                     .reply = reply,
                                     .reply_min_bytes = sizeof(answered)});
  if (!received) return std::unexpected(std::move(received).error());
  if (answered.index != index) return fail(Code::kProtocol, fmt::format("the answer is about {}", answered.index));
  return IrqInfo{index, answered.count, (answered.flags & VFIO_IRQ_INFO_EVENTFD) != 0,
                 (answered.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0};
}

}  // namespace warden::vfio
