// SPDX-License-Identifier: Apache-2.0
// Checks and errors around the writer of shm/.
#include <warden/death_actions.h>

#include <cstring>
#include <string>

#include "tools/libwarden/client.h"
#include "tools/libwarden/client_ledger.h"

namespace warden {

namespace {

static_assert(kMaxDeathWriteBytes == shm::kDeathActionDataBytes && kMaxDeathActions == shm::kDeathActions);

shm::DeathAction action_on(const Device& device, shm::DeathActionKind kind, Tile tile, CardAddress address,
                           std::span<const std::byte> data) {
  shm::DeathAction action{.kind = kind,
                          .device = device.index(),
                          .x = tile.x,
                          .y = tile.y,
                          .epoch = device.epoch(),
                          .address = address.value,
                          .length_bytes = static_cast<std::uint32_t>(data.size())};
  std::memcpy(action.data.data(), data.data(), data.size());
  return action;
}

}  // namespace

class DeathActions::Implementation {
 public:
  explicit Implementation(std::shared_ptr<Session> session) : session_(std::move(session)) {}

  [[nodiscard]] Result<DeathActionHandle> add(const Device& device, const shm::DeathAction& action) {
    internal::Client& client = session_->client();
    if (auto ok = client.check_process(); !ok) return std::unexpected(std::move(ok).error());
    if (device.session_ != session_) return fail(Code::kInvalidArgument, "the device was opened by another session");
    const auto ticket = client.ledgers().now().add_death_action(action, device.attachment_);
    if (!ticket) return std::unexpected(ticket.error());
    return DeathActionHandle{*ticket};
  }

  [[nodiscard]] Status remove(DeathActionHandle handle) {
    internal::Client& client = session_->client();
    if (auto ok = client.check_process(); !ok) return ok;
    if (client.ledgers().now().remove_death_action(handle.value)) return {};
    return fail(Code::kStale, "no death action of this session has this handle; remove each one once");
  }

 private:
  const std::shared_ptr<Session> session_;
};

DeathActions::DeathActions(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

DeathActions::~DeathActions() = default;

Result<std::unique_ptr<DeathActions>> DeathActions::open(std::shared_ptr<Session> session) {
  if (auto ok = session->client().check_process(); !ok) return std::unexpected(std::move(ok).error());
  return std::unique_ptr<DeathActions>(new DeathActions(std::make_unique<Implementation>(std::move(session))));
}

Result<DeathActionHandle> DeathActions::write(const Device& device, Tile tile, CardAddress address,
                                              std::span<const std::byte> from) {
  if (from.empty() || from.size() > kMaxDeathWriteBytes) {
    return fail(Code::kInvalidArgument, "a death action writes 1 to " + std::to_string(kMaxDeathWriteBytes) +
                                            " bytes, not " + std::to_string(from.size()) + "; register several");
  }
  return implementation_->add(device, action_on(device, shm::DeathActionKind::kWrite, tile, address, from));
}

Result<DeathActionHandle> DeathActions::write32(const Device& device, Tile tile, CardAddress address,
                                                std::uint32_t value) {
  if (address.value % sizeof(value) != 0) {
    return fail(Code::kInvalidArgument, std::to_string(address.value) + " is not a multiple of 4");
  }
  return implementation_->add(
      device, action_on(device, shm::DeathActionKind::kWrite32, tile, address, internal::bytes_of(value)));
}

Result<DeathActionHandle> DeathActions::reset_cores(const Device& device, Tile tile, Cores cores) {
  if (cores.bits == 0 || (cores.bits & ~(kTensixCores | kErisc).bits) != 0) {
    return fail(Code::kInvalidArgument, "name cores of <warden/cores.h>, at least one");
  }
  return implementation_->add(
      device, action_on(device, shm::DeathActionKind::kResetCores, tile, {}, internal::bytes_of(cores.bits)));
}

Status DeathActions::remove(DeathActionHandle handle) { return implementation_->remove(handle); }

}  // namespace warden
