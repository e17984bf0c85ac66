// SPDX-License-Identifier: Apache-2.0
// The public face of an attachment.
#include <warden/session.h>

#include <algorithm>
#include <limits>

#include "tools/libwarden/client.h"

namespace warden {

namespace {

Result<std::string> listing(internal::Client& client, shm::MessageKind kind, std::span<const std::byte> body = {}) {
  auto reply = client.request(kind, body);
  if (!reply) return std::unexpected(std::move(reply).error());
  return internal::text_of(reply->packet);
}

}  // namespace

Result<std::shared_ptr<Session>> Session::attach(const AttachOptions& options) {
  auto client = internal::Client::attach(options);
  if (!client) return std::unexpected(std::move(client).error());
  return std::make_shared<Session>(std::move(*client));
}

Session::Session(std::unique_ptr<internal::Client> client) : client_(std::move(client)) {}

Session::~Session() = default;

std::uint64_t Session::id() const noexcept { return client_->session_id(); }

bool Session::is_operator() const noexcept { return client_->is_operator(); }

Result<bool> Session::is_alive(std::uint64_t session_id, std::uint32_t slot) const {
  if (auto ok = client_->check_process(); !ok) return std::unexpected(std::move(ok).error());
  return client_->connection()->is_alive(session_id, slot);
}

Result<std::size_t> Session::living_sessions() const {
  if (auto ok = client_->check_process(); !ok) return std::unexpected(std::move(ok).error());
  return client_->connection()->living_sessions();
}

Result<std::vector<std::string>> Session::devices() {
  const auto connection = client_->live_connection();
  if (!connection) return std::unexpected(connection.error());
  return (*connection)->device_names(~std::uint64_t{0});
}

Result<std::string> Session::devices_json() { return listing(*client_, shm::MessageKind::kListDevices); }

Result<std::string> Session::sessions_json() { return listing(*client_, shm::MessageKind::kListSessions); }

Result<std::string> Session::allocations_json(const AllocationFilter& filter) {
  shm::ListAllocations body{};
  if (filter.device.size() >= sizeof(body.device)) return fail(Code::kNotFound, "no device " + filter.device);
  body.flags = filter.records ? shm::kListRecords : 0;
  body.max_records = filter.max_records;
  body.pid = filter.pid;
  using std::chrono::milliseconds;
  constexpr milliseconds kMost(std::numeric_limits<std::uint32_t>::max());  // 49 days
  body.min_age_ms = static_cast<std::uint32_t>(std::clamp(filter.min_age, milliseconds(0), kMost).count());
  filter.device.copy(body.device, sizeof(body.device) - 1);
  return listing(*client_, shm::MessageKind::kListAllocations, internal::bytes_of(body));
}

Result<std::string> Session::status_json() { return listing(*client_, shm::MessageKind::kStatus); }

}  // namespace warden
