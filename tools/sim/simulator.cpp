// SPDX-License-Identifier: Apache-2.0
// The simulator's main loop: accepts for all chips, turns second clients away, answers the control socket. It never
// waits for any one peer.
#include "tools/sim/simulator.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "driver/vfio/vfio_user_server.h"
#include "tools/sim/control.h"

namespace warden::sim {

namespace {

constexpr std::size_t kRequestBytesMax = 4096;
constexpr std::size_t kPeersMax = 64;

}  // namespace

Result<std::unique_ptr<Simulator>> Simulator::create(const std::string& directory, const BoardOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return fail(code_of_errno(error.value()),
                fmt::format("make directory {}: {}; choose another --dir", directory, error.message()));
  }
  Result<ListeningSocket> control = ListeningSocket::bind(directory + kControlSocket);
  if (!control) return std::unexpected(control.error());
  UniqueFd poller(::epoll_create1(EPOLL_CLOEXEC));
  if (!poller) return fail_errno("epoll_create1");
  std::unique_ptr<Simulator> simulator(new Simulator(std::move(*control), std::move(poller)));
  if (Status done = simulator->watch(simulator->control_.get()); !done) return std::unexpected(done.error());
  if (options.deterministic) simulator->lockstep_ = std::make_unique<Lockstep>();
  simulator->engine_.expect(options.board.chips());
  for (unsigned i = 0; i < options.board.chips(); ++i) {
    auto chip = simulator->start_chip(fmt::format("{}/chip{}.sock", directory, i), options, i);
    if (!chip) return std::unexpected(chip.error());
    if (Status done = simulator->watch((*chip)->listener().get()); !done) return std::unexpected(done.error());
    simulator->chips_.push_back(std::move(*chip));
  }
  simulator->plug_cables(options);
  if (!options.deterministic) simulator->engine_.start();
  return simulator;
}

Result<std::unique_ptr<ChipServer>> Simulator::start_chip(const std::string& path, const BoardOptions& options,
                                                          unsigned number) {
  const ChipOptions chip_of_board = chip_options(options, number);
  if (!lockstep_) {
    auto chip = ChipServer::start(path, chip_of_board, std::chrono::steady_clock::now, engine_.bell(number));
    if (chip) engine_.add((*chip)->function());
    return chip;
  }
  auto chip = ChipServer::start(path, chip_of_board, [this] { return lockstep_->now(); }, lockstep_->bell());
  if (!chip) return chip;
  lockstep_->add((*chip)->function());
  (*chip)->function().follow(*lockstep_);
  return chip;
}

void Simulator::plug_cables(const BoardOptions& options) {
  for (const Cable& cable : cables_of(options)) {
    const auto link = std::make_shared<EthernetLink>(options.link_training, options.queue_latching);
    for (const unsigned end : {0U, 1U}) {
      chips_[cable.ends[end].chip]->function().locked([&](Chip& chip) {
        chip.connect(cable.ends[end].channel, {link, end}, link_identity(options, cable, end));
        return true;
      });
    }
  }
}

Status Simulator::watch(int descriptor) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
  if (::epoll_ctl(poller_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

Status Simulator::run(int stop) {
  if (Status done = watch(stop); !done) return done;
  std::array<epoll_event, 64> events;
  while (true) {
    const int count = ::epoll_wait(poller_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return fail_errno("epoll_wait");
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
      if (descriptor == stop) return {};
      if (descriptor == control_.get()) {
        accept_control();
        continue;
      }
      const auto chip = std::ranges::find(chips_, descriptor, [](const auto& one) { return one->listener().get(); });
      if (chip != chips_.end()) {
        accept_clients(**chip);
        continue;
      }
      // Already closed, if making room for another peer closed it meanwhile.
      if (const auto peer = peers_.find(descriptor); peer != peers_.end() && !attend(peer->second)) {
        peers_.erase(peer);
        std::erase(oldest_first_, descriptor);
      }
    }
  }
}

void Simulator::accept_clients(ChipServer& chip) {
  while (UniqueFd peer = chip.listener().accept()) {
    if (auto refused = chip.offer(std::move(peer))) {
      spdlog::info("{}: second client refused, the chip is in use", chip.listener().path());
      keep(std::move(*refused), false);
    }
  }
}

void Simulator::accept_control() {
  while (UniqueFd peer = control_.accept()) keep(std::move(peer), true);
}

void Simulator::keep(UniqueFd socket, bool control) {
  if (oldest_first_.size() >= kPeersMax) {
    peers_.erase(oldest_first_.front());
    oldest_first_.pop_front();
  }
  const int descriptor = socket.get();
  if (Status done = watch(descriptor); !done) {
    spdlog::warn("peer dropped: {}", done.error().message);
    return;
  }
  peers_.insert_or_assign(descriptor, Peer{std::move(socket), control, {}});
  oldest_first_.push_back(descriptor);
}

bool Simulator::attend(Peer& peer) {
  std::array<char, kRequestBytesMax> buffer;
  const ssize_t received = ::recv(peer.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (received <= 0) return false;
  peer.received.append(buffer.data(), static_cast<std::size_t>(received));
  if (peer.control) return answer_lines(peer);
  const auto bytes = std::as_bytes(std::span(peer.received));
  if (bytes.size() < sizeof(vfio::wire::Header)) return true;
  (void)vfio::refuse_peer(peer.socket.get(), bytes, EBUSY);
  return false;
}

bool Simulator::answer_lines(Peer& peer) {
  for (std::size_t end = 0; (end = peer.received.find('\n')) != std::string::npos;) {
    const std::string answer =
        answer_control(std::string_view(peer.received).substr(0, end), chips_, lockstep_.get()) + '\n';
    peer.received.erase(0, end + 1);
    const ssize_t sent = ::send(peer.socket.get(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(answer.size())) {
      spdlog::warn("control peer dropped: it does not take its answers");
      return false;
    }
  }
  if (peer.received.size() <= kRequestBytesMax) return true;
  spdlog::warn("control peer dropped: its request is longer than {} bytes", kRequestBytesMax);
  return false;
}

}  // namespace warden::sim
