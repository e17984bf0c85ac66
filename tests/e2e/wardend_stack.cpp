// SPDX-License-Identifier: Apache-2.0
// Processes of a test: started, awaited, ended.
#include "tests/e2e/wardend_stack.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tools/sim/ctl.h"

namespace warden::test {

namespace {

constexpr int kReadyFd = 3;

[[noreturn]] void run_child(const std::vector<std::string>& command, const SpawnOptions& options, int output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(output, options.with_ready_fd ? kReadyFd : STDOUT_FILENO);
  if (!options.stderr_path.empty()) {
    const int log = ::open(options.stderr_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(log, STDERR_FILENO);
  }
  if (options.user_id != 0) {
    // No exec: a program under a private directory may be out of the other user's reach, so drop rights late.
    if (::setgid(options.user_id) != 0 || ::setuid(options.user_id) != 0) ::_exit(126);
  }
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::array<char, 32> pattern{"/tmp/wardend-XXXXXX"};
  if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern.data();
  EXPECT_FALSE(path_.empty());
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Process::Process(const std::vector<std::string>& command, const SpawnOptions& options) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  output_.reset(ends[0]);
  UniqueFd input(ends[1]);
  pid_ = ::fork();
  if (pid_ == 0) run_child(command, options, input.get());
  EXPECT_GT(pid_, 0);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      output_(std::move(other.output_)),
      text_(std::move(other.text_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  if (pid_ > 0 && !status_) {
    signal(SIGKILL);
    wait();
  }
  pid_ = std::exchange(other.pid_, -1);
  status_ = other.status_;
  output_ = std::move(other.output_);
  text_ = std::move(other.text_);
  return *this;
}

Process::~Process() {
  if (pid_ <= 0 || status_) return;
  signal(SIGKILL);
  wait();
}

std::optional<std::string> Process::read_line() {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  for (;;) {
    if (const std::size_t end = text_.find('\n'); end != std::string::npos) {
      std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      return line;
    }
    pollfd entry{output_.get(), POLLIN, 0};
    if (::poll(&entry, 1, 1000) <= 0) {
      if (std::chrono::steady_clock::now() > deadline) return std::nullopt;
      continue;
    }
    std::array<char, 4096> chunk{};
    const ssize_t got = ::read(output_.get(), chunk.data(), chunk.size());
    if (got > 0) text_.append(chunk.data(), static_cast<std::size_t>(got));
    if (got > 0) continue;
    if (text_.empty()) return std::nullopt;
    return std::exchange(text_, {});
  }
}

void Process::signal(int number) const {
  if (pid_ > 0 && !status_) ::kill(pid_, number);
}

int Process::wait() {
  if (status_ || pid_ <= 0) return status_.value_or(-1);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd entry{pidfd.get(), POLLIN, 0};
  const auto deadline_ms = static_cast<int>(std::chrono::milliseconds(kDeadline).count());
  if (::poll(&entry, 1, deadline_ms) <= 0) {
    ADD_FAILURE() << "process " << pid_ << " did not end; killed";
    ::kill(pid_, SIGKILL);
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  status_ = status;
  return status;
}

int Process::exit_status() {
  const int status = wait();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Stack::Stack(Options options) : options_(std::move(options)) {
  ::chmod(directory_.path().c_str(), 0755);  // other users of the tests come here too
  simulator_ = Process({WARDEN_SIM, "--dir", path("s"), "--board", options_.board, "--reset-duration",
                        std::to_string(options_.reset_duration_ms), "--ready-fd", std::to_string(kReadyFd)},
                       {.stderr_path = path("sim.log"), .with_ready_fd = true});
  EXPECT_TRUE(simulator_.read_line()) << "the simulator did not start";
  start_daemon();
}

std::string Stack::card_name(int index) const { return fmt::format("vfio-user:{}/chip{}.sock", path("s"), index); }

std::vector<std::string> Stack::daemon_command() const {
  std::vector<std::string> command = {WARDEND, "--socket", socket_path(), "--state", path("state")};
  for (std::uint32_t index = 0; index < options_.card_count; ++index) {
    command.insert(command.end(), {"--device", card_name(static_cast<int>(index))});
  }
  command.insert(command.end(), options_.daemon_arguments.begin(), options_.daemon_arguments.end());
  return command;
}

void Stack::start_daemon() {
  std::vector<std::string> command = daemon_command();
  command.insert(command.end(), {"--ready-fd", std::to_string(kReadyFd)});
  daemon_ = Process(command, {.stderr_path = path("wardend.log"), .with_ready_fd = true});
  EXPECT_EQ(daemon_.read_line(), "ready") << daemon_log();
}

void Stack::stop_daemon() {
  daemon_.signal(SIGTERM);
  EXPECT_EQ(daemon_.exit_status(), 0) << daemon_log();
}

std::string Stack::daemon_log() const {
  std::ifstream file(path("wardend.log"));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::shared_ptr<Session> Stack::attach(const std::string& name) const {
  AttachOptions attach;
  attach.socket_path = socket_path();
  attach.name = name;
  attach.timeout = kDeadline;
  auto session = Session::attach(attach);
  EXPECT_TRUE(session) << session.error().message;
  return session ? *session : nullptr;
}

nlohmann::json Stack::simulator(const nlohmann::json& request) const {
  const auto answer = sim::ask_simulator(path("s"), request);
  EXPECT_TRUE(answer) << answer.error().message;
  return answer ? *answer : nlohmann::json();
}

nlohmann::json Stack::card_stats(int index) const {
  return simulator({{"command", "stats"}, {"chip", index}})["chips"][0];
}

RawClient::RawClient(const std::string& socket_path) {
  auto socket = shm::connect_to(socket_path);
  EXPECT_TRUE(socket) << socket.error().message;
  if (socket) socket_ = std::move(*socket);
}

bool RawClient::greet() {
  shm::Hello hello{};
  std::memcpy(hello.name, "raw", 3);
  const auto body = std::as_bytes(std::span(&hello, 1));
  if (!shm::send_packet(socket_.get(), shm::request_header(shm::MessageKind::kHello, 1), body)) return false;
  auto packet = shm::receive_packet(socket_.get(), kDeadline);
  if (!packet || packet->header.code != 0 || packet->fds.size() < 3) return false;
  welcome_ = *shm::body_of<shm::Welcome>(*packet);
  ledger_fd_.reset(::fcntl(packet->fds[1].get(), F_DUPFD_CLOEXEC, 0));
  doorbell_fd_.reset(::fcntl(packet->fds[2].get(), F_DUPFD_CLOEXEC, 0));
  auto directory = shm::DirectoryReader::open(std::move(packet->fds[0]));
  auto ledger = shm::LedgerWriter::open(std::move(packet->fds[1]), welcome_.session_id);
  auto doorbell = shm::DoorbellMemory::open(std::move(packet->fds[2]));
  if (!directory || !ledger || !doorbell) return false;
  directory_ = std::move(*directory);
  ledger_ = std::move(*ledger);
  doorbell_ = std::move(*doorbell);
  return true;
}

bool RawClient::is_dropped() {
  return eventually([&] {
    const auto packet = shm::receive_packet(socket_.get(), std::chrono::milliseconds(0));
    return !packet && packet.error().code == Code::kDisconnected;
  });
}

}  // namespace warden::test
