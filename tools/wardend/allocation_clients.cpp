// SPDX-License-Identifier: Apache-2.0
// Finding, keeping and removing bridged processes.
#include "tools/wardend/allocation_clients.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tools/wardend/processes.h"

namespace warden::daemon {
namespace {

using nlohmann::json;
constexpr std::string_view kPrefix = "allocation-client/";

std::string keeper_name(std::uint64_t id) { return fmt::format("{}{}", kPrefix, id); }

// It goes to logs and terminals.
std::string printable(std::string name) {
  std::ranges::replace_if(
      name, [](char letter) { return static_cast<unsigned char>(letter) < ' ' || letter == '\x7f'; }, '?');
  return name;
}

std::string blob_of(const AllocationClient& client) {
  const json blob = {{"id", client.id},       {"pid", client.pid},
                     {"uid", client.user_id}, {"start_time", client.start_time_ns},
                     {"name", client.name},   {"has_pidfd", static_cast<bool>(client.pidfd)}};
  return blob.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<AllocationClient> client_from(Kept& kept, const std::function<void(std::uint32_t tag)>& mark_done) {
  try {
    const json blob = json::parse(kept.blob);
    const bool has_pidfd = blob.at("has_pidfd");
    if (kept.fds.size() != (has_pidfd ? 2U : 1U)) return fail(Code::kProtocol, "descriptors are missing");
    auto book = AllocationBook::adopt(std::move(kept.fds.front()), mark_done);
    if (!book) return std::unexpected(std::move(book).error());
    return AllocationClient{.id = blob.at("id"),
                            .pid = blob.at("pid"),
                            .user_id = blob.at("uid"),
                            .start_time_ns = blob.at("start_time"),
                            .name = blob.at("name"),
                            .pidfd = has_pidfd ? std::move(kept.fds.back()) : UniqueFd(),
                            .book = std::move(*book)};
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, error.what());
  }
}

}  // namespace

// Two living processes never have one number, so the number of one that lives still means it. Without a number of
// ours nothing tells two connections of one process from those of two: each is its own.
AllocationClient* AllocationClients::find_process(const shm::Peer& peer) noexcept {
  if (peer.pid == 0) return nullptr;
  const auto known = std::ranges::find_if(clients_, [&](const auto& entry) {
    const AllocationClient& client = entry.second;
    return client.pid == peer.pid && client.start_time_ns == peer.start_time_ns && client.pidfd &&
           !is_dead(client.pidfd.get());
  });
  return known == clients_.end() ? nullptr : &known->second;
}

Result<AllocationClient*> AllocationClients::admit(int socket) {
  Result<shm::Peer> peer = shm::identify_peer(socket);
  if (!peer && peer.error().code != Code::kUnsupported) return std::unexpected(std::move(peer).error());
  if (!peer) return add({});
  if (is_dead(peer->pidfd.get())) return fail(Code::kDisconnected, "the peer is dead");
  if (AllocationClient* known = find_process(*peer)) return known;
  return add(std::move(*peer));
}

Result<AllocationClient*> AllocationClients::add(shm::Peer peer) {
  auto book = AllocationBook::create();
  if (!book) return std::unexpected(std::move(book).error());
  const std::uint64_t id = next_id_++;
  AllocationClient client{.id = id,
                          .pid = peer.pid,
                          .user_id = peer.user_id,
                          .start_time_ns = peer.start_time_ns,
                          .name = printable(std::move(peer.name)),
                          .pidfd = std::move(peer.pidfd),
                          .book = std::move(*book)};
  const std::array<int, 2> fds{client.book.fd(), client.pidfd.get()};
  const auto kept_fds = std::span(fds).first(client.pidfd ? 2 : 1);
  if (Status kept = keeper_.keep(keeper_name(id), blob_of(client), kept_fds); !kept) {
    return std::unexpected(kept.error());
  }
  return &clients_.emplace(id, std::move(client)).first->second;
}

AllocationClient* AllocationClients::find(std::uint64_t id) noexcept {
  const auto found = clients_.find(id);
  return found == clients_.end() ? nullptr : &found->second;
}

Status AllocationClients::apply(AllocationClient& client, const AllocationRequest& request, std::uint32_t tag,
                                const std::function<void()>& mark_done) {
  std::uint64_t& of_user = records_of_user_[client.user_id];
  const std::uint64_t before = client.book.sums().records;
  client.reported_pid = request.process_id;
  const auto outcome = client.book.apply(request, tag, of_user < kMaxRecordsOfUser, mark_done);
  of_user += client.book.sums().records - before;
  if (outcome == AllocationBook::Outcome::kNonsense) {
    return fail(Code::kProtocol, "allocations add up to more than any card has");
  }
  if (outcome == AllocationBook::Outcome::kFull && ++client.refused == 1) {
    spdlog::warn("PID {} ({}): no room for more records, the rest is not counted", client.shown_pid(), client.name);
  }
  return {};
}

ReapedProcess AllocationClients::remove(std::uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return {};
  (void)keeper_.drop(keeper_name(id));  // fails only when the keeper is gone, and we with it
  const AllocationClient& client = found->second;
  const ReapedProcess reaped{client.shown_pid(), client.name, client.reported_pid, client.book.sums().records,
                             client.book.sums().bytes};
  records_of_user_[client.user_id] -= reaped.buffers;
  if (records_of_user_[client.user_id] == 0) records_of_user_.erase(client.user_id);
  clients_.erase(found);
  return reaped;
}

void AllocationClients::restore(KeptTable& kept, const std::function<void(std::uint32_t tag)>& mark_done) {
  for (auto& [name, entry] : kept) {
    if (!name.starts_with(kPrefix)) continue;
    auto client = client_from(entry, mark_done);
    if (!client) {
      spdlog::error("{} is lost: {}", name, client.error().message);
      (void)keeper_.drop(name);
      continue;
    }
    std::uint32_t place = 0;
    if (const auto record = client->book.next(place)) client->reported_pid = record->reported_pid;
    next_id_ = std::max(next_id_, client->id + 1);
    records_of_user_[client->user_id] += client->book.sums().records;
    clients_.emplace(client->id, std::move(*client));
  }
}

}  // namespace warden::daemon
