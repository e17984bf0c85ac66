// SPDX-License-Identifier: Apache-2.0
// One listener of libwarden's, told through the directory as wardend tells it. A real reset takes far longer than the
// gap between two samples, so this process plays wardend: the same shared memory and handshake, no card.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>

#include <warden/listener.h>
#include <warden/session.h>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/socket.h"
#include "tests/bench/child.h"
#include "tests/bench/measure.h"
#include "tests/bench/shared_page.h"
#include "tests/bench/wakers.h"
#include "tests/support/process.h"

namespace warden::bench {

namespace {

constexpr std::uint64_t kSessionId = 1;
constexpr std::uint32_t kSlot = 0;
constexpr std::uint64_t kDeviceMask = 1;
constexpr char kDeviceName[] = "0000:01:00.0";
constexpr std::chrono::milliseconds kHandshakeBound{10'000};

void listen_for_ever(const std::string& socket_path, Heard& heard) {
  AttachOptions options;
  options.socket_path = socket_path;
  const auto session = Session::attach(options);
  if (!session) return;
  ListenerCallbacks callbacks;
  callbacks.announce = [&](const ResetAnnouncement&) { heard.time_ns.store(now_ns()); };
  const auto listener = Listener::start(*session, callbacks);
  if (!listener) return;
  heard.ready.store(1);
  for (;;) ::pause();
}

// wardend's memory and its half of the handshake.
class Announcer {
 public:
  Announcer(shm::DirectoryWriter directory, shm::LedgerReader ledger, shm::DoorbellMemory doorbell, UniqueFd server)
      : directory_(std::move(directory)),
        ledger_(std::move(ledger)),
        doorbell_(std::move(doorbell)),
        server_(std::move(server)) {}

  static Result<Announcer> make(const std::string& socket_path) {
    auto directory = shm::DirectoryWriter::create();
    if (!directory) return std::unexpected(std::move(directory).error());
    auto ledger = shm::LedgerReader::create(kSessionId);
    if (!ledger) return std::unexpected(std::move(ledger).error());
    auto doorbell = shm::DoorbellMemory::create();
    if (!doorbell) return std::unexpected(std::move(doorbell).error());
    shm::DeviceRecord& device = directory->device(0);
    std::memcpy(device.name, kDeviceName, sizeof(kDeviceName));
    device.state.store(static_cast<std::uint32_t>(shm::DeviceState::kReady));
    auto server = shm::listen_at(socket_path);
    if (!server) return std::unexpected(std::move(server).error());
    return Announcer(std::move(*directory), std::move(*ledger), std::move(*doorbell), std::move(*server));
  }

  // Hello and Welcome, Listen and its reply.
  Status shake_hands() {
    pollfd waiting{.fd = server_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(kHandshakeBound.count())) != 1) {
      return fail(Code::kTimeout, "the listener did not connect");
    }
    client_.reset(::accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client_) return fail_errno("accept", errno);
    auto hello = shm::receive_packet(client_.get(), kHandshakeBound);
    if (!hello) return wrap(std::move(hello).error(), "await hello");
    shm::Welcome welcome{};
    welcome.session_id = kSessionId;
    welcome.instance_id = directory_.header().instance_id;
    welcome.slot = kSlot;
    const std::array fds = {directory_.reader_fd(), ledger_.fd(), doorbell_.fd()};
    auto sent = shm::send_packet(client_.get(), shm::request_header(shm::MessageKind::kWelcome, 0),
                                 std::as_bytes(std::span(&welcome, 1)), {}, fds);
    if (!sent) return sent;
    auto listen = shm::receive_packet(client_.get(), kHandshakeBound);
    if (!listen) return wrap(std::move(listen).error(), "await listen");
    directory_.listener(kSlot).session_id.store(kSessionId);
    directory_.listener(kSlot).device_mask.store(kDeviceMask);
    return shm::send_packet(client_.get(), shm::reply_header(listen->header.request, 0));
  }

  // The stores of wardend's announcement, in its order.
  void announce() {
    ++reset_id_;
    directory_.header().active_reset_id.store(reset_id_, std::memory_order_release);
    directory_.listener(kSlot).owed_reset_id.store(reset_id_, std::memory_order_release);
    directory_.header().acks_target.store(doorbell_.count() + 1, std::memory_order_release);
    shm::EventDraft event;
    event.kind = shm::EventKind::kAnnounce;
    event.reset_id = reset_id_;
    event.device_mask = kDeviceMask;
    event.text = "bench";
    directory_.publish(event);
  }

  void finish() {
    directory_.listener(kSlot).owed_reset_id.store(0);
    directory_.header().active_reset_id.store(0);
    shm::EventDraft event;
    event.kind = shm::EventKind::kResult;
    event.reset_id = reset_id_;
    event.device_mask = kDeviceMask;
    event.result = shm::ResetResult::kOk;
    directory_.publish(event);
  }

 private:
  shm::DirectoryWriter directory_;
  shm::LedgerReader ledger_;
  shm::DoorbellMemory doorbell_;
  UniqueFd server_;
  UniqueFd client_;
  std::uint64_t reset_id_ = 0;
};

class LibwardenWaker final : public Waker {
 public:
  explicit LibwardenWaker(SharedPage<Heard> heard) : heard_(std::move(heard)) {}

  Status start() {
    const std::string socket_path = folder_.path() + "/w.sock";
    auto announcer = Announcer::make(socket_path);
    if (!announcer) return std::unexpected(std::move(announcer).error());
    announcer_.emplace(std::move(*announcer));
    auto listener = Child::fork([&] { listen_for_ever(socket_path, *heard_.get()); });
    if (!listener) return std::unexpected(std::move(listener).error());
    listener_.emplace(std::move(*listener));
    if (auto ok = announcer_->shake_hands(); !ok) return ok;
    return await("listener of libwarden", [&] { return heard_->ready.load() != 0; });
  }
  Status wake() override {
    announcer_->announce();
    return {};
  }
  Status rest() override {
    announcer_->finish();
    return {};
  }
  Heard& heard() noexcept override { return *heard_.get(); }

 private:
  test::TemporaryDirectory folder_;
  SharedPage<Heard> heard_;
  std::optional<Announcer> announcer_;
  std::optional<Child> listener_;
};

}  // namespace

Result<std::unique_ptr<Waker>> libwarden_waker() {
  auto heard = SharedPage<Heard>::make();
  if (!heard) return std::unexpected(std::move(heard).error());
  auto waker = std::make_unique<LibwardenWaker>(std::move(*heard));
  if (auto ok = waker->start(); !ok) return std::unexpected(std::move(ok).error());
  return waker;
}

}  // namespace warden::bench
