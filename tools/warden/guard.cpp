// SPDX-License-Identifier: Apache-2.0
// See guard.h. One thread, one loop: events of wardend, ends of children, and the walk over a tree being stopped.
#include "tools/warden/guard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <warden/listener.h>

#include "tools/warden/command_start.h"
#include "tools/warden/proc.h"
#include "tools/warden/process_tree.h"

namespace warden::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;
// No event tells of a grandchild's stop, so the tree is looked at again and again while it is being stopped.
constexpr milliseconds kWalkInterval{1};
constexpr milliseconds kIdleBound{1000};
constexpr milliseconds kRetryInterval{200};
// More time is asked for when less than this is left, in steps of this size.
constexpr milliseconds kTimeMargin{500};
constexpr milliseconds kTimeStep{1000};
// A paused command is continued when wardend has been away for so long: nobody will tell it how the reset ended.
constexpr milliseconds kAbandonedAfter{10'000};

int exit_status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// What /proc/PID/cmdline shows is the memory of the arguments themselves.
void rename_arguments(char** argv) {
  if (argv == nullptr || argv[0] == nullptr) return;
  char* end = argv[0];
  for (char** argument = argv; *argument != nullptr && *argument == end; ++argument) end += std::strlen(end) + 1;
  const auto size_bytes = static_cast<std::size_t>(end - argv[0]);
  std::memset(argv[0], 0, size_bytes);
  std::strncpy(argv[0], "warden-guard", size_bytes - 1);
}

class Guard {
 public:
  Guard(const ListenOptions& options, UniqueFd news, pid_t ancestor, pid_t except)
      : options_(options),
        news_(std::move(news)),
        front_(except == 0 ? ::getppid() : ancestor),
        tree_(ancestor, except) {}

  int run(const sigset_t& command_signals);
  int run_as_second(pid_t command);

 private:
  enum class State { kIdle, kPausing, kStopping, kAnswered };

  Status prepare();
  Status attach();
  int start_command(GatedCommand& command);
  void await_quiet();

  void poll_once(milliseconds bound);
  [[nodiscard]] milliseconds poll_bound() const;
  void dispatch();
  void read_signals();
  void reap();
  void command_ended(int status, bool alone);
  void stand_for_orphans();
  void step();
  void step_pausing();
  void step_stopping();
  void ask_for_time(const std::string& why);
  void answer(const std::string& how);
  void on_announce(const ResetAnnouncement& announcement);
  void on_finish(const ResetOutcome& outcome);
  void give_up_waiting();
  void continue_command();
  void tell(const GuardNews& news);
  void say(const std::string& line) const;

  const ListenOptions& options_;
  UniqueFd news_;
  UniqueFd signals_;
  const pid_t front_;
  ProcessTree tree_;
  pid_t command_ = 0;
  bool front_reaps_ = false;  // a second guard is no parent of the command
  bool finished_ = false;
  std::shared_ptr<Session> session_;
  std::unique_ptr<Listener> listener_;
  std::optional<Clock::time_point> unreachable_since_;

  State state_ = State::kIdle;
  std::uint64_t reset_id_ = 0;
  bool owed_ = false;
  bool refused_more_time_ = false;
  Clock::time_point deadline_;
  Clock::time_point announced_;
};

// ---- starting ----

Status Guard::prepare() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&wanted, number);
  signals_ = UniqueFd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail_errno("signalfd");
  if (::setpgid(0, 0) != 0) return fail_errno("setpgid");
  // `killall warden` and `pkill -f 'warden listen'` should leave somebody to continue the command.
  (void)::prctl(PR_SET_NAME, "warden-guard");
  rename_arguments(options_.argv);
  return {};
}

Status Guard::attach() {
  AttachOptions attach;
  attach.socket_path = options_.socket_path;
  attach.name = std::filesystem::path(options_.command_line.front()).filename().string();
  attach.subject_pid = command_;
  attach.pollable = true;
  auto session = Session::attach(attach);
  if (!session) return std::unexpected(session.error());
  ListenerCallbacks callbacks{.announce = [this](const ResetAnnouncement& told) { on_announce(told); },
                              .finish = [this](const ResetOutcome& told) { on_finish(told); }};
  auto listener =
      Listener::start(*session, std::move(callbacks),
                      ListenerOptions{.devices = options_.devices, .acknowledge_by_hand = true, .thread = false});
  if (!listener) return std::unexpected(listener.error());
  session_ = std::move(*session);
  listener_ = std::move(*listener);
  return {};
}

// A reset that was under way before we came is nobody's business to wait for, but the command must not start into it.
void Guard::await_quiet() {
  dispatch();
  if (state_ == State::kIdle) return;
  say(fmt::format("reset {} is under way: the command starts after it", reset_id_));
  if (owed_) answer("nothing runs yet");
  state_ = State::kAnswered;
  while (state_ != State::kIdle) poll_once(kIdleBound);
}

int Guard::start_command(GatedCommand& command) {
  tell({.kind = GuardNews::Kind::kStarted, .value = command.pid()});
  const int error = command.open_gate();
  if (error == 0) return 0;
  (void)::waitpid(command.pid(), nullptr, 0);
  fmt::print(stderr, "warden: run {}: {}\n", options_.command_line.front(), std::strerror(error));
  return error == ENOENT ? kNotFound : kNotExecutable;
}

int Guard::run(const sigset_t& command_signals) {
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto command = GatedCommand::fork_now(options_.command_line, command_signals, news_.get());
  if (!command) {
    fmt::print(stderr, "warden: {}\n", command.error().message);
    return 1;
  }
  command_ = command->pid();
  auto status = prepare();
  if (status) status = attach();
  if (!status) {
    fmt::print(stderr, "warden: {}\n", status.error().message);
    return 1;
  }
  await_quiet();
  if (const int failure = start_command(*command); failure != 0) return failure;
  while (!finished_) {
    poll_once(poll_bound());
    step();
  }
  return 0;
}

int Guard::run_as_second(pid_t command) {
  command_ = command;
  front_reaps_ = true;
  auto status = prepare();
  if (status) status = attach();
  if (!status) {
    say(fmt::format("{}; continuing the command without protection", status.error().message));
    tree_.adopt_stopped();
    tree_.resume();
    return 1;
  }
  tree_.adopt_stopped();
  dispatch();
  if (state_ == State::kIdle) continue_command();  // the reset that stopped it is over
  while (!finished_) {
    poll_once(poll_bound());
    step();
  }
  return 0;
}

// ---- the loop ----

milliseconds Guard::poll_bound() const {
  if (unreachable_since_) return kRetryInterval;
  return state_ == State::kPausing || state_ == State::kStopping ? kWalkInterval : kIdleBound;
}

void Guard::poll_once(milliseconds bound) {
  // After a failed dispatch the descriptor may stay readable for nothing: then the timer alone drives us.
  const int heard = unreachable_since_ ? -1 : listener_->fd();
  pollfd watched[] = {{.fd = heard, .events = POLLIN, .revents = 0},
                      {.fd = signals_.get(), .events = POLLIN, .revents = 0},
                      {.fd = front_reaps_ ? news_.get() : -1, .events = POLLIN, .revents = 0}};
  (void)::poll(watched, std::size(watched), static_cast<int>(bound.count()));
  if (watched[1].revents != 0) read_signals();
  if (watched[2].revents != 0) news_.reset();  // the front has ended
  dispatch();
}

void Guard::dispatch() {
  if (const auto status = listener_->dispatch(); status) {
    unreachable_since_.reset();
    return;
  }
  if (!unreachable_since_) unreachable_since_ = Clock::now();
  if (state_ != State::kIdle && Clock::now() - *unreachable_since_ > kAbandonedAfter) give_up_waiting();
}

void Guard::give_up_waiting() {
  say(fmt::format("wardend has been away for {} s during reset {}: continuing the command",
                  kAbandonedAfter.count() / 1000, reset_id_));
  continue_command();
  state_ = State::kIdle;
}

// With Ctrl-Z the user stops the job, and only the front shows it while the command is paused anyway. Then the job's
// processes stay as they are: `fg` and `bg` continue them, or the front does when it is continued itself.
void Guard::continue_command() {
  const auto front = view_process(front_);
  const bool job_is_stopped = front && front->living && front->stopped;
  tree_.resume(job_is_stopped ? ::getpgid(front_) : 0);
}

void Guard::read_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGCHLD) (void)::kill(command_, static_cast<int>(info.ssi_signo));
  }
  if (!front_reaps_) reap();
}

void Guard::reap() {
  std::optional<int> command_status;
  for (;;) {
    int wait_status = 0;
    const pid_t child = ::waitpid(-1, &wait_status, WNOHANG);
    if (child == 0 || (child < 0 && errno != EINTR)) break;
    if (child == command_) command_status = exit_status_of(wait_status);
  }
  siginfo_t none{};
  const bool alone = ::waitid(P_ALL, 0, &none, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
  if (alone) finished_ = state_ != State::kStopping;  // then the answer comes first
  if (command_status) command_ended(*command_status, alone);
}

void Guard::command_ended(int status, bool alone) {
  tell({.kind = GuardNews::Kind::kExited, .value = status, .guard_stays = !alone});
  if (alone) return;
  // Its orphans live on, and are guarded, but nobody should wait for the end of our stderr.
  const UniqueFd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) (void)::dup2(nowhere.get(), fd);
  stand_for_orphans();
}

// The session's subject has died, so nobody waits for our answers any more: its orphans need another session, which
// stands for one of them.
void Guard::stand_for_orphans() {
  const std::vector<pid_t> orphans = tree_.living();
  if (orphans.empty()) return;
  command_ = orphans.front();
  (void)attach();  // in vain: the old session at least tells of resets
}

// ---- around a reset ----

void Guard::on_announce(const ResetAnnouncement& announcement) {
  reset_id_ = announcement.reset_id;
  owed_ = announcement.owed;
  refused_more_time_ = false;
  announced_ = Clock::now();
  deadline_ = announced_ + announcement.time_left;
  if (options_.on_reset == OnReset::kPause) {
    state_ = State::kPausing;
    return;
  }
  state_ = State::kStopping;
  say(fmt::format("reset {} ({}): stopping the command", reset_id_, announcement.reason));
  (void)tree_.signal_all(SIGTERM);
  (void)tree_.signal_all(SIGCONT);  // a stopped process hears SIGTERM only when it goes on
}

void Guard::on_finish(const ResetOutcome& outcome) {
  const bool was_idle = state_ == State::kIdle;
  continue_command();
  state_ = State::kIdle;
  if (options_.on_reset == OnReset::kPause && !was_idle) {
    say(fmt::format("reset {} ended: {}{}{}; continuing", outcome.reset_id, to_string(outcome.result),
                    outcome.reason.empty() ? "" : ", ", outcome.reason));
  }
}

void Guard::step() {
  if (state_ == State::kPausing) step_pausing();
  if (state_ == State::kStopping) step_stopping();
  // Somebody may continue what is paused (`fg`, kill -CONT): it is stopped again. SIGCHLD brings us here at once.
  if (state_ == State::kAnswered && options_.on_reset == OnReset::kPause) (void)tree_.stop_step();
  if (front_reaps_ && !news_ && state_ == State::kIdle) finished_ = true;
}

void Guard::step_pausing() {
  const auto stopped = tree_.stop_step();
  if (stopped && *stopped) {
    answer(fmt::format("paused {} process(es)", tree_.stopped_count()));
    return;
  }
  ask_for_time(stopped ? tree_.last_running() + " still runs" : stopped.error().message);
}

void Guard::step_stopping() {
  if (tree_.living_count() == 0) {
    answer("the command has ended");
    if (!front_reaps_) reap();
    return;
  }
  if (options_.kill_after.count() > 0 && Clock::now() - announced_ >= options_.kill_after) {
    (void)tree_.signal_all(SIGKILL);
  }
  ask_for_time("the command has not ended yet");
}

void Guard::answer(const std::string& how) {
  state_ = State::kAnswered;
  if (const auto status = listener_->acknowledge(reset_id_); !status) {
    say(fmt::format("reset {}: acknowledge: {}", reset_id_, status.error().message));
    return;
  }
  say(fmt::format("reset {}: {}", reset_id_, how));
}

// Nobody waits for who is not owed; and once refused, silence is the truthful answer.
void Guard::ask_for_time(const std::string& why) {
  if (!owed_ || refused_more_time_ || deadline_ - Clock::now() > kTimeMargin) return;
  const auto granted = listener_->need_more_time(reset_id_, kTimeStep);
  if (granted && granted->count() > 0) {
    deadline_ += *granted;
    return;
  }
  refused_more_time_ = true;
  say(fmt::format("reset {}: not acknowledged: {}", reset_id_, why));
}

// ---- talking ----

void Guard::tell(const GuardNews& news) {
  (void)::send(news_.get(), &news, sizeof news, MSG_NOSIGNAL | MSG_DONTWAIT);  // the front may be dead: go on
}

// Never blocks: a full pipe or a terminal held by Ctrl-S must not delay an acknowledgement.
void Guard::say(const std::string& line) const {
  pollfd out{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (options_.quiet || ::poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0) return;
  const std::string text = "warden: " + line + "\n";
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

int run_guard(const ListenOptions& options, UniqueFd news, const sigset_t& command_signals) {
  return Guard(options, std::move(news), ::getpid(), 0).run(command_signals);
}

int run_second_guard(const ListenOptions& options, UniqueFd news, pid_t front, pid_t command) {
  return Guard(options, std::move(news), front, ::getpid()).run_as_second(command);
}

}  // namespace warden::cli
