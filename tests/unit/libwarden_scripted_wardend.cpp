// SPDX-License-Identifier: Apache-2.0
// The server loop of the scripted wardend.
#include "tests/unit/libwarden_scripted_wardend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace warden::test {

namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace

ScriptedWardend::ScriptedWardend(std::string socket_path, Handler handler)
    : handler_(std::move(handler)),
      directory_(std::make_unique<shm::DirectoryWriter>(must(shm::DirectoryWriter::create()))),
      doorbell_(std::make_unique<shm::DoorbellMemory>(must(shm::DoorbellMemory::create()))),
      listening_(must(shm::listen_at(socket_path))),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  add_device(0, "vfio-user:/a");
  add_device(1, "vfio-user:/b");
  thread_ = std::thread([this] { run(); });
}

ScriptedWardend::~ScriptedWardend() {
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof(one));
  thread_.join();
}

void ScriptedWardend::add_device(std::uint32_t index, const std::string& name) {
  shm::DeviceRecord& device = directory_->device(index);
  name.copy(device.name, sizeof(device.name) - 1);
  device.state.store(static_cast<std::uint32_t>(shm::DeviceState::kReady));
}

void ScriptedWardend::announce(std::uint64_t reset_id, std::uint64_t device_mask, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  directory_->header().active_reset_id.store(reset_id);
  std::uint32_t owing = 0;
  for (const auto& [id, session] : sessions_) {
    if ((session.mask & device_mask) == 0) continue;
    directory_->listener(session.slot).owed_reset_id.store(reset_id);
    ++owing;
  }
  directory_->header().acks_target.store(doorbell_->count() + owing);
  publish({.kind = shm::EventKind::kAnnounce,
           .reset_id = reset_id,
           .device_mask = device_mask,
           .deadline_ns = shm::boottime_ns() + 60'000'000'000U,
           .phase = shm::ResetPhase::kAnnounced,
           .text = reason});
}

void ScriptedWardend::publish(const shm::EventDraft& event) {
  const std::lock_guard lock(mutex_);
  directory_->publish(event);
  for (const auto& [id, session] : sessions_) {
    if (session.notification) (void)::send(session.notification.get(), "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void ScriptedWardend::finish(std::uint64_t reset_id, std::uint64_t device_mask, shm::ResetResult result,
                             const std::string& reason) {
  const std::lock_guard lock(mutex_);
  directory_->header().active_reset_id.store(0);
  for (const auto& [id, session] : sessions_) directory_->listener(session.slot).owed_reset_id.store(0);
  publish({.kind = shm::EventKind::kResult,
           .reset_id = reset_id,
           .device_mask = device_mask,
           .result = result,
           .text = reason});
}

void ScriptedWardend::start_new_worker() {
  directory_->header().worker_starts.fetch_add(1);
  publish({.kind = shm::EventKind::kWorker, .pid = ::getpid()});
}

bool ScriptedWardend::all_acknowledged(std::uint64_t reset_id) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, session] : sessions_) {
    const bool owes = directory_->listener(session.slot).owed_reset_id.load() == reset_id;
    if (owes && session.ledger->acknowledged_reset_id() != reset_id) return false;
  }
  return true;
}

std::size_t ScriptedWardend::session_count() const {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

std::uint64_t ScriptedWardend::listened_mask() const {
  const std::lock_guard lock(mutex_);
  return sessions_.empty() ? 0 : sessions_.rbegin()->second.mask;
}

void ScriptedWardend::run() {
  while (true) {
    std::vector<pollfd> fds{{stop_.get(), POLLIN, 0}, {listening_.get(), POLLIN, 0}};
    std::vector<std::uint64_t> ids;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [id, session] : sessions_) {
        fds.push_back({session.socket.get(), POLLIN, 0});
        ids.push_back(id);
      }
    }
    ::poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) return;
    if (fds[1].revents != 0) welcome(UniqueFd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (fds[i + 2].revents != 0) serve(ids[i]);
    }
  }
}

void ScriptedWardend::welcome(UniqueFd socket) {
  const auto packet = shm::receive_packet(socket.get(), std::chrono::seconds(10));
  const auto hello = packet ? shm::body_of<shm::Hello>(*packet) : Result<shm::Hello>(std::unexpected(packet.error()));
  if (!hello) return;
  const std::lock_guard lock(mutex_);
  Session session;
  session.id = ++last_session_id_;
  session.slot = static_cast<std::uint32_t>(session.id % shm::kSessionCapacity);
  session.ledger.emplace(must(shm::LedgerReader::create(session.id)));
  std::vector<int> fds{directory_->reader_fd(), session.ledger->fd(), doorbell_->fd()};
  UniqueFd their_notification;
  if ((hello->flags & shm::kHelloPollable) != 0) {
    std::array<int, 2> ends{};
    ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data());
    session.notification = UniqueFd(ends[0]);
    their_notification = UniqueFd(ends[1]);
    fds.push_back(ends[1]);
  }
  const shm::DirectoryHeader& head = directory_->header();
  const shm::Welcome welcome{session.id, head.instance_id, head.active_reset_id.load(), session.slot,
                             shm::kSessionOperator};
  shm::Header header = shm::reply_header(packet->header.request, 0);
  header.kind = static_cast<std::uint16_t>(shm::MessageKind::kWelcome);
  (void)shm::send_packet(socket.get(), header, std::as_bytes(std::span(&welcome, 1)), {}, fds);
  session.socket = std::move(socket);
  sessions_.emplace(session.id, std::move(session));
}

void ScriptedWardend::serve(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  Session& session = sessions_.at(id);
  const auto packet = shm::receive_packet(session.socket.get(), std::chrono::milliseconds(0));
  if (packet) {
    answer(session, *packet);
  } else if (packet.error().code != Code::kTimeout) {
    directory_->listener(session.slot).owed_reset_id.store(0);
    session.socket.reset();
  }
  if (!session.socket) sessions_.erase(id);
}

void ScriptedWardend::answer(Session& session, const shm::Packet& packet) {
  if (packet.header.kind == static_cast<std::uint16_t>(shm::MessageKind::kListen)) {
    session.mask = shm::body_of<shm::Listen>(packet)->device_mask;
    directory_->listener(session.slot).device_mask.store(session.mask);
    (void)shm::send_packet(session.socket.get(), shm::reply_header(packet.header.request, 0));
    return;
  }
  const ScriptedAnswer answer = handler_ ? handler_(packet) : ScriptedAnswer{10, "not scripted"};
  if (answer.hang_up) session.socket.reset();
  if (answer.silent || answer.hang_up) return;
  (void)shm::send_packet(session.socket.get(), shm::reply_header(packet.header.request, answer.code), {},
                         std::as_bytes(std::span(answer.tail)));
}

}  // namespace warden::test
