// SPDX-License-Identifier: Apache-2.0
// Serving one chip: clients come one after the other, and who breaks the protocol is dropped with the reason logged.
#include "tools/sim/chip_server.h"

#include <utility>

#include <spdlog/spdlog.h>

namespace warden::sim {

Result<std::unique_ptr<ChipServer>> ChipServer::start(const std::string& path, const ChipOptions& options,
                                                      NowFunction now, std::function<void()> has_work) {
  Result<ListeningSocket> listener = ListeningSocket::bind(path);
  if (!listener) return std::unexpected(listener.error());
  std::unique_ptr<ChipServer> server(
      new ChipServer(std::move(*listener), options, std::move(now), std::move(has_work)));
  server->thread_ = std::thread([raw = server.get()] { raw->run(); });
  return server;
}

ChipServer::ChipServer(ListeningSocket listener, const ChipOptions& options, NowFunction now,
                       std::function<void()> has_work)
    : listener_(std::move(listener)), function_(options, std::move(now), std::move(has_work)) {}

ChipServer::~ChipServer() {
  function_.stop();
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    if (session_) session_->stop();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::optional<UniqueFd> ChipServer::offer(UniqueFd peer) {
  const std::scoped_lock lock(mutex_);
  // A client that has hung up is as good as gone: its successor only waits until its last requests are served.
  const bool busy = next_ || (session_ && !session_->peer_gone());
  if (busy || stopping_) {
    ++refused_;
    return peer;
  }
  next_ = std::move(peer);
  changed_.notify_all();
  return std::nullopt;
}

bool ChipServer::in_use() {
  const std::scoped_lock lock(mutex_);
  return next_ || (session_ && !session_->peer_gone());
}

void ChipServer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || next_; });
    if (stopping_) return;
    session_ = std::make_unique<vfio::VfioUserSession>(std::move(next_), function_);
    lock.unlock();
    serve_one(*session_);
    lock.lock();
    session_.reset();
  }
}

void ChipServer::serve_one(vfio::VfioUserSession& session) {
  function_.client_opened();
  spdlog::info("{}: client connected", listener_.path());
  const Status ended = session.serve();
  function_.client_closed();
  if (ended) {
    spdlog::info("{}: client left", listener_.path());
  } else {
    ++dropped_;
    spdlog::warn("{}: client dropped: {}", listener_.path(), ended.error().message);
  }
}

}  // namespace warden::sim
