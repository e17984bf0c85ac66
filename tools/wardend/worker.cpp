// SPDX-License-Identifier: Apache-2.0
// The worker's start and its loop.
#include "tools/wardend/worker.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "tools/wardend/allocation_devices.h"
#include "tools/wardend/files.h"
#include "tools/wardend/service_manager.h"

namespace warden::daemon {

namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kReopenInterval{1};
constexpr unsigned kSourceShift = 56;

std::optional<ResetRecord> unfinished_of(const Journal& journal) {
  const auto& last = journal.last();
  if (!last || last->writer != journal.writer() || last->record.phase == shm::ResetPhase::kIdle) return std::nullopt;
  return last->record;
}

}  // namespace

Worker::Worker(Parts parts)
    : parts_(parts),
      keeper_(std::move(parts_.inheritance.keeper)),
      directory_(parts_.inheritance.directory),
      board_(directory_),
      sessions_(directory_, keeper_),
      listeners_(directory_, parts_.inheritance.doorbell, sessions_),
      replier_([this](std::uint64_t id, const std::string& reason) {
        mailbox_.post([this, id, reason] {
          if (const auto session = sessions_.find(id)) lose_peer(session, reason);
        });
      }),
      greeter_({directory_, parts_.inheritance.doorbell, sessions_, keeper_, parts_.options.operator_group}),
      reaper_({sessions_, parts_.inheritance.doorbell, keeper_, mailbox_,
               [this](std::uint64_t client_id) {
                 if (allocations_) allocations_->client_died(client_id);
               },
               [this](const std::shared_ptr<Session>& session) { cleaner_->begin(session); }}) {}

Worker::~Worker() = default;

int Worker::run() {
  if (Status started = start(); !started) {
    spdlog::critical("{}", started.error().message);
    return kWorkerCannotStart;
  }
  loop();
  spdlog::info("stopped");
  return kWorkerStopped;
}

Status Worker::start() {
  directory_.repair();
  if (Status opened = open_descriptors(); !opened) return opened;
  // A worker that takes over has cards and sessions to serve, whatever has become of the disk.
  Result<Journal> journal =
      Journal::open(parts_.options.state_directory, {directory_.header().instance_id, boot_id()},
                    parts_.inheritance.first ? Journal::Unwritable::kIsAnError : Journal::Unwritable::kTryLater);
  if (!journal) return std::unexpected(std::move(journal).error());
  journal_ = std::move(*journal);
  if (Status opened = open_reaper(); !opened) return opened;
  reports_.emplace(parts_.options.state_directory);
  sessions_.restore(parts_.inheritance.kept);
  Result<Devices> devices =
      Devices::open(parts_.options.devices, parts_.inheritance.kept, keeper_, directory_, unfinished_of(*journal_));
  if (!devices) return std::unexpected(std::move(devices).error());
  devices_.emplace(std::move(*devices));
  if (Status watched = watch_bus(); !watched) return watched;
  open_broker();
  cleaner_.emplace(Cleaner::Parts{*devices_, keeper_, mailbox_, *broker_});
  cleaner_->restore(parts_.inheritance.kept);
  std::vector<ParticipantSource*> sources{&listeners_};
  if (parts_.options.umd_directory) {
    if (Status bridged = open_umd_bridge(); !bridged) return bridged;
    sources.push_back(&umd_->participants());
  }
  if (parts_.options.allocation_socket) {
    if (Status served = open_allocation_server(); !served) return served;
  }
  fabric_.emplace(*devices_);
  resets_.emplace(ResetQueue::Parts{{directory_, parts_.inheritance.doorbell, board_, *journal_, *devices_, *reports_},
                                    std::move(sources),
                                    keeper_,
                                    sessions_,
                                    *fabric_},
                  parts_.inheritance.kept,
                  [this] { mailbox_.post([this] { done_ = stopping_ && resets_->is_idle(); }); });
  requests_.emplace(RequestHandler::Parts{directory_, sessions_, keeper_, board_, *devices_, *broker_, *resets_,
                                          replier_, mailbox_, reaper_, *cleaner_, parts_.options, allocations_});
  resume_sessions();
  if (Status started = reaper_.start(); !started) return started;
  announce_service();
  return {};
}

Status Worker::open_reaper() {
  const Status opened = reaper_.open(parts_.options, parts_.inheritance.first, parts_.inheritance.kept);
  if (opened) greeter_.set_liveness(reaper_.exits().liveness_fd());
  return opened;
}

void Worker::open_broker() {
  broker_.emplace(Broker::Parts{*devices_, keeper_, parts_.options.limits});
  for (std::uint32_t index = 0; index < devices_->count(); ++index) {
    devices_->at(index).on_reset([this, index] { broker_->forget_device(index); });
  }
  broker_->restore(parts_.inheritance.kept, sessions_);
}

Status Worker::open_umd_bridge() {
  auto bridge = UmdBridge::open({*parts_.options.umd_directory, parts_.options.umd_grace}, parts_.inheritance.kept,
                                keeper_, directory_.header().keeper_pid);
  if (!bridge) return std::unexpected(std::move(bridge).error());
  umd_ = std::move(*bridge);
  return watch(umd_->fd(), Source::kUmd);
}

Status Worker::open_allocation_server() {
  auto server =
      AllocationServer::open({*parts_.options.allocation_socket, [this] { return allocation_devices(*devices_); },
                              [this](std::uint64_t id, int pidfd) { reaper_.watch_bridged(id, pidfd); },
                              [this](std::uint64_t id) { reaper_.forget_bridged(id); }},
                             parts_.inheritance.kept, keeper_);
  if (!server) return std::unexpected(std::move(server).error());
  allocations_ = std::move(*server);
  return watch(allocations_->fd(), Source::kAllocations);
}

Status Worker::open_descriptors() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, number);
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_ || !signals_ || !timer_) return fail_errno("epoll, signalfd or timerfd");
  const timespec period{0, std::chrono::nanoseconds(kTick).count()};
  const itimerspec schedule{period, period};
  if (::timerfd_settime(timer_.get(), 0, &schedule, nullptr) != 0) return fail_errno("timerfd_settime");
  if (Status opened = mailbox_.open(); !opened) return opened;
  refill_reserve();  // and listens
  if (!reserve_) return fail_errno("/dev/null");
  for (const auto& [fd, source] : {std::pair{signals_.get(), Source::kSignals},
                                   {timer_.get(), Source::kTimer},
                                   {mailbox_.fd(), Source::kMailbox}}) {
    if (Status watched = watch(fd, source); !watched) return watched;
  }
  return {};
}

void Worker::resume_sessions() {
  for (const auto& session : sessions_.all()) {
    board_.add_pollable(session);
    adopt_session(session);
    if (sessions_.is_marked_dead(*session)) reaper_.mark(session);  // it was our predecessor's last deed
    if (session->peer_gone.load()) cleaner_->begin(session);        // which did not come to its end
    if (session->ended.exchange(false)) {
      end_session(session, "left");
      continue;
    }
    if (session->welcomed) continue;
    if (Status welcomed = greeter_.welcome(*session); !welcomed) lose_peer(session, welcomed.error().message);
  }
}

void Worker::announce_service() {
  shm::DirectoryHeader& head = directory_.header();
  head.worker_pid.store(static_cast<std::uint32_t>(::getpid()));
  head.coarse_time_ns.store(shm::boottime_ns());
  head.worker_starts.fetch_add(1);
  shm::EventDraft event;
  event.kind = shm::EventKind::kWorker;
  event.pid = ::getpid();
  board_.publish(event);
  const std::string status = fmt::format("serving {} cards at {}", devices_->count(), parts_.options.socket_path);
  spdlog::info("worker {}: {}", ::getpid(), status);
  tell_ready(status);
  if (!parts_.inheritance.first || parts_.options.ready_fd < 0) return;
  if (Status told = write_all(parts_.options.ready_fd, "ready\n"); !told) {
    spdlog::warn("--ready-fd {}: {}", parts_.options.ready_fd, told.error().message);
  }
}

Status Worker::watch(int fd, Source source, std::uint64_t number) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = (static_cast<std::uint64_t>(source) << kSourceShift) | number;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void Worker::loop() {
  std::array<epoll_event, 64> events{};
  while (!done_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const std::uint64_t number = event.data.u64 & ((std::uint64_t{1} << kSourceShift) - 1);
      dispatch(static_cast<Source>(event.data.u64 >> kSourceShift), number, event.events);
    }
  }
}

void Worker::dispatch(Source source, std::uint64_t number, std::uint32_t events) {
  switch (source) {
    case Source::kListener: return accept_guests();
    case Source::kSignals: return begin_stop();
    case Source::kTimer: return tick();
    case Source::kMailbox: return mailbox_.run_all();
    case Source::kGuest: return hear_guest(number);
    case Source::kUmd: return hear_umd();
    case Source::kAllocations: return allocations_->hear();
    case Source::kBus: return hear_bus(number);
    default: break;
  }
  // An event of the same batch may have ended the session already.
  const std::shared_ptr<Session> session = sessions_.find(number);
  if (!session) return;
  if (source == Source::kPidfd) return lose_process(session);
  if (source == Source::kSubject) return lose_subject(session);
  if ((events & EPOLLIN) != 0) return hear_session(session);
  lose_peer(session, "hung up");
}

void Worker::hear_umd() {
  umd_->hear(*resets_, *devices_, [this](int socket) {
    const auto peer = shm::identify_peer(socket);
    return peer && greeter_.has_operator_right(*peer, socket);
  });
}

void Worker::tick() {
  std::uint64_t count = 0;
  (void)!::read(timer_.get(), &count, sizeof(count));
  directory_.header().coarse_time_ns.store(shm::boottime_ns());
  const auto now = std::chrono::steady_clock::now();
  expire_guests(now);
  refill_reserve();
  look_after_orphans();
  if (!stopping_ && now - last_reopening_ >= kReopenInterval) reopen_lost_cards();
  requests_->send_listings();
  cleaner_->tick();
  if (parts_.watchdog_interval && now - last_alive_ > *parts_.watchdog_interval / 2) {
    last_alive_ = now;
    tell_alive();
  }
}

Status Worker::watch_bus() {
  Result<BusWatch> created = BusWatch::create(*devices_, parts_.inheritance.kept, keeper_);
  if (!created) return std::unexpected(std::move(created).error());
  bus_ = std::move(*created);
  for (std::size_t number = 0; number < bus_->descriptors().size(); ++number) {
    if (Status watched = watch(bus_->descriptors()[number].get(), Source::kBus, number); !watched) return watched;
  }
  for (std::uint32_t index = 0; index < devices_->count(); ++index) {
    (void)devices_->at(index).post([this, index](chip::Chip& chip) { arm_bus(index, chip); });
  }
  return {};
}

void Worker::arm_bus(std::uint32_t index, chip::Chip& chip) {
  if (Status armed = bus_->arm(index, chip.device()); !armed) {
    spdlog::warn("{}: the kernel can't tell when it wants the card back: {}", devices_->at(index).name(),
                 armed.error().message);
  }
}

// The kernel waits, for as long as it takes, until nobody has the card open.
void Worker::hear_bus(std::uint64_t number) {
  const auto word = bus_->take(number);
  const std::uint32_t index = BusWatch::device_of(number);
  if (!word) return;
  if (*word == BusWord::kError) {
    requests_->fail_device(index, "the bus reported an error of the card (AER)");
    return;
  }
  requests_->lose_device(index, "the kernel wants it back: it is being unbound or removed");
  reopen_lost_cards();  // begins with closing what is lost
}

// A socket that appears is not listened on yet, so no event tells better than trying when a card is back.
void Worker::reopen_lost_cards() {
  last_reopening_ = std::chrono::steady_clock::now();
  const auto prepare = [this](std::uint32_t index, chip::Chip& chip) {
    arm_bus(index, chip);
    broker_->map_again(chip, index);
  };
  const auto done = [this](std::uint32_t index) {
    mailbox_.post([this, index] {
      spdlog::info("{} is back", devices_->at(index).name());
      devices_->publish_row(index);
      devices_->publish_change(index, board_);
    });
  };
  devices_->reopen_lost(keeper_, {prepare, done});
}

// A reset under way is brought to its result first; its listeners are served meanwhile.
void Worker::begin_stop() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
  }
  if (stopping_) return;
  stopping_ = true;
  tell_stopping();
  spdlog::info("stopping");
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, parts_.listening_socket, nullptr);
  resets_->stop();
  done_ = resets_->is_idle();
}

}  // namespace warden::daemon
