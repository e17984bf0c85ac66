// SPDX-License-Identifier: Apache-2.0
// The bridge's start: its socket, and what a predecessor left with the keeper.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "shm/socket.h"
#include "tools/wardend/allocation_server.h"

namespace warden::daemon {
namespace {

using nlohmann::json;
constexpr std::string_view kServerName = "allocation-server";
constexpr std::string_view kConnectionPrefix = "allocation-connection/";

struct Ground {
  UniqueFd listener;
  AllocationDesk desk;
};

Result<Ground> lay_ground(const std::string& path, KeeperLink& keeper) {
  auto listener = shm::listen_at(path, shm::SocketType::kStream);
  if (!listener) return std::unexpected(std::move(listener).error());
  auto desk = AllocationDesk::create();
  if (!desk) return std::unexpected(std::move(desk).error());
  const std::array<int, 2> fds{listener->get(), desk->fd()};
  if (Status kept = keeper.keep(kServerName, path, fds); !kept) return std::unexpected(kept.error());
  return Ground{std::move(*listener), std::move(*desk)};
}

Result<Ground> find_ground(const std::string& path, KeptTable& kept, KeeperLink& keeper) {
  const auto entry = kept.find(kServerName);
  if (entry == kept.end() || entry->second.fds.size() != 2) return lay_ground(path, keeper);
  auto desk = AllocationDesk::adopt(std::move(entry->second.fds[1]));
  if (!desk) return std::unexpected(std::move(desk).error());
  return Ground{std::move(entry->second.fds[0]), std::move(*desk)};
}

struct KeptConnection {
  std::uint64_t client_id = 0;
  std::uint32_t row = 0;
  std::uint32_t user_id = 0;
};

Result<KeptConnection> parse_connection(const Kept& kept) {
  try {
    const json blob = json::parse(kept.blob);
    KeptConnection connection{blob.at("client"), blob.at("row"), blob.at("uid")};
    if (kept.fds.size() == 1 && connection.row < AllocationDesk::kRows) return connection;
    return fail(Code::kProtocol, "it makes no sense");
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, error.what());
  }
}

}  // namespace

std::string AllocationServer::connection_name(std::uint64_t id) { return fmt::format("{}{}", kConnectionPrefix, id); }

std::string AllocationServer::connection_blob(std::uint64_t client_id, std::uint32_t row, std::uint32_t user_id) {
  return json({{"client", client_id}, {"row", row}, {"uid", user_id}}).dump();
}

Result<std::unique_ptr<AllocationServer>> AllocationServer::open(Parts parts, KeptTable& kept, KeeperLink& keeper) {
  auto ground = find_ground(parts.path, kept, keeper);
  if (!ground) return wrap(std::move(ground).error(), "--allocation-server");
  std::unique_ptr<AllocationServer> server(
      new AllocationServer(std::move(parts), keeper, std::move(ground->listener), std::move(ground->desk)));
  if (Status started = server->start(kept); !started) return wrap(started.error(), "--allocation-server");
  return server;
}

AllocationServer::~AllocationServer() {
  if (listener_) ::unlink(parts_.path.c_str());
}

Status AllocationServer::start(KeptTable& kept) {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_ || !timer_) return fail_errno("epoll or timerfd");
  if (Status watched = watch(timer_.get(), Source::kTimer, 0, EPOLLIN); !watched) return watched;
  clients_.restore(kept, [this](std::uint32_t row) {
    if (row < AllocationDesk::kRows) desk_.row(row).mark_done();
  });
  restore_connections(kept);
  for (const auto& [id, client] : clients_.all()) {
    if (client.pidfd) {
      if (Status watched = watch(client.pidfd.get(), Source::kPidfd, id, EPOLLIN | EPOLLET); !watched) return watched;
      parts_.watch(id, client.pidfd.get());
    }
    idle_.push_back(id);
  }
  reap_noted();
  return watch(listener_.get(), Source::kListener, 0, EPOLLIN);
}

void AllocationServer::restore_connections(KeptTable& kept) {
  std::array<bool, AllocationDesk::kRows> in_use{};
  std::vector<std::uint64_t> found;
  for (auto& [name, entry] : kept) {
    if (!name.starts_with(kConnectionPrefix)) continue;
    const auto connection = parse_connection(entry);
    const std::uint64_t id = connection ? desk_.row(connection->row).connection : 0;
    if (id == 0 || connection_name(id) != name ||
        !watch(entry.fds.front().get(), Source::kConnection, id, kPeerEvents)) {
      spdlog::error("{} is lost{}", name, connection ? "" : ": " + connection.error().message);
      (void)keeper_.drop(name);
      continue;
    }
    AllocationClient* client = clients_.find(connection->client_id);
    if (client != nullptr) ++client->connections;
    Peer peer{AllocationConnection(id, connection->row, desk_.row(connection->row), std::move(entry.fds.front())),
              client != nullptr ? client->id : 0, connection->user_id};
    peer.connection.resume();
    in_use.at(connection->row) = true;
    next_connection_ = std::max(next_connection_, id + 1);
    peers_.emplace(id, std::move(peer));
    found.push_back(id);
  }
  for (std::uint32_t row = 0; row < AllocationDesk::kRows; ++row) {
    if (!in_use.at(row)) desk_.give_back(row);
  }
  // What lies on the desk makes no socket readable.
  for (const std::uint64_t id : found) hear_peer(id, 0);
}

}  // namespace warden::daemon
