// SPDX-License-Identifier: Apache-2.0
// Opening, handing on and asking the exit watcher.
#include "tools/wardend/exit_thread.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <array>

#include "bpf/realtime.h"
#include "shm/directory.h"

namespace warden::daemon {
namespace {

constexpr std::string_view kKeptName = "exit-watcher";
constexpr unsigned kWatchedAsShift = 56;
constexpr int kPatienceAfterErrorMs = 100;

constexpr std::uint64_t id_of(WatchedAs watched_as, std::uint64_t number) {
  return static_cast<std::uint64_t>(watched_as) << kWatchedAsShift | number;
}

ToldDeath told_of(std::uint64_t id) {
  return {static_cast<WatchedAs>(id >> kWatchedAsShift), id & ((std::uint64_t{1} << kWatchedAsShift) - 1)};
}

struct Opened {
  std::unique_ptr<bpf::ExitWatcher> watcher;
  std::string reason;
};

bpf::Options options_of(const ExitThread::Parts& parts) {
  bpf::Options options;
  options.capacity = std::size_t{4} * shm::kSessionCapacity;  // sessions, subjects, bridged clients
  options.slots = shm::kSessionCapacity;
  options.ring_bytes = parts.ring_bytes;
  if (!parts.only) return options;
  options.mechanisms = {*parts.only};
  if (!parts.first && *parts.only != bpf::Mechanism::kPidfd) options.mechanisms.push_back(bpf::Mechanism::kPidfd);
  return options;
}

// The keeper's blob: the watcher's own, then why it is no better one.
std::string blob_of(const std::string& watchers_blob, const std::string& reason) {
  return watchers_blob + '\n' + reason;
}

Result<Opened> open_anew(const ExitThread::Parts& parts) {
  auto watcher = bpf::ExitWatcher::open(options_of(parts));
  if (!watcher) return wrap(std::move(watcher).error(), "--exit-watcher");
  const std::string reason = (*watcher)->reason();
  const bpf::Descriptors descriptors = (*watcher)->descriptors();
  const Status kept = descriptors.fds.empty()
                          ? parts.keeper.drop(kKeptName)
                          : parts.keeper.keep(kKeptName, blob_of(descriptors.blob, reason), descriptors.fds);
  if (!kept) return std::unexpected(kept.error());
  return Opened{std::move(*watcher), reason};
}

Result<Opened> open_or_adopt(const ExitThread::Parts& parts) {
  const auto entry = parts.kept.find(kKeptName);
  if (entry == parts.kept.end()) return open_anew(parts);
  const std::string_view blob = entry->second.blob;
  const std::size_t end = std::min(blob.find('\n'), blob.size());
  auto adopted = bpf::ExitWatcher::adopt(blob.substr(0, end), std::move(entry->second.fds));
  if (adopted) return Opened{std::move(*adopted), std::string(blob.substr(std::min(end + 1, blob.size())))};
  spdlog::warn("exit watcher: {}", adopted.error().message);
  return open_anew(parts);
}

}  // namespace

Result<std::unique_ptr<ExitThread>> ExitThread::open(const Parts& parts) {
  auto opened = open_or_adopt(parts);
  if (!opened) return std::unexpected(std::move(opened).error());
  std::unique_ptr<ExitThread> self(
      new ExitThread(std::move(opened->watcher), std::move(opened->reason), parts.on_deaths));
  if (self->watcher_->liveness_fd() >= 0) {
    auto page = shm::LivenessPage::map(self->watcher_->liveness_fd(), self->watcher_->liveness_slots());
    if (!page) return wrap(std::move(page).error(), "liveness page");
    self->page_ = std::move(*page);
  }
  self->stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!self->stop_) return fail_errno("eventfd");
  return self;
}

ExitThread::ExitThread(std::unique_ptr<bpf::ExitWatcher> watcher, std::string reason,
                       std::function<void(std::span<const ToldDeath>)> on_deaths)
    : watcher_(std::move(watcher)), reason_(std::move(reason)), on_deaths_(std::move(on_deaths)) {}

ExitThread::~ExitThread() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

Status ExitThread::start() {
  spdlog::info("exit watcher: {}{}", bpf::to_string(watcher_->mechanism()),
               reason_.empty() ? std::string() : " (" + reason_ + ")");
  thread_ = std::thread([this] { run(); });
  return {};
}

Status ExitThread::watch(WatchedAs watched_as, std::uint64_t number, int pidfd, std::uint32_t slot) {
  const std::scoped_lock lock(mutex_);
  const bool has_word = slot < watcher_->liveness_slots();
  return watcher_->watch({.id = id_of(watched_as, number), .slot = has_word ? slot : bpf::kNoSlot, .pidfd = pidfd});
}

bool ExitThread::forget(WatchedAs watched_as, std::uint64_t number) {
  const std::scoped_lock lock(mutex_);
  return watcher_->forget(id_of(watched_as, number));
}

bool ExitThread::is_marked(std::uint32_t slot, std::uint64_t session_id) const noexcept {
  return page_ && page_->is_dead(slot, session_id);
}

ExitStatus ExitThread::status() const {
  const std::scoped_lock lock(mutex_);
  return {.mechanism = watcher_->mechanism(),
          .reason = reason_,
          .is_realtime = realtime_.has_value(),
          .realtime_reason = realtime_ ? std::string() : realtime_.error().message,
          .marked = marked_,
          .last_marked_ns = last_marked_ns_,
          .counters = watcher_->counters()};
}

void ExitThread::run() {
  Status realtime = bpf::make_thread_realtime();
  if (!realtime) spdlog::info("exit watcher: {}: deaths may be noticed milliseconds late", realtime.error().message);
  {
    const std::scoped_lock lock(mutex_);
    realtime_ = std::move(realtime);
  }
  std::array<pollfd, 2> events{{{stop_.get(), POLLIN, 0}, {watcher_->fd(), POLLIN, 0}}};
  std::vector<ToldDeath> told;
  for (;;) {
    if (::poll(events.data(), events.size(), -1) < 0) continue;
    if (events[0].revents != 0) return;
    // What can't be read stays readable: not a reason to take a processor from everybody.
    if (!take(told)) (void)::poll(events.data(), 1, kPatienceAfterErrorMs);
    if (told.empty()) continue;
    on_deaths_(told);
    const std::uint64_t done_ns = shm::boottime_ns();
    const std::scoped_lock lock(mutex_);
    marked_ += told.size();
    last_marked_ns_ = done_ns;
  }
}

bool ExitThread::take(std::vector<ToldDeath>& told) {
  std::vector<bpf::Death> deaths;
  const std::scoped_lock lock(mutex_);
  const Status taken = watcher_->take(deaths);
  if (!taken) spdlog::error("exit watcher: {}", taken.error().message);
  told.clear();
  for (const bpf::Death& death : deaths) told.push_back(told_of(death.id));
  return taken.has_value();
}

}  // namespace warden::daemon
