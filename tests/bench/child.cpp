// SPDX-License-Identifier: Apache-2.0
// Forking, starting, ending.
#include "tests/bench/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "tests/bench/measure.h"

namespace warden::bench {

namespace {

void die_with(pid_t parent) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it was faster
}

}  // namespace

Result<Child> Child::fork(const std::function<void()>& work) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork", errno);
  if (pid == 0) {
    die_with(parent);
    work();
    ::_exit(0);
  }
  return Child(pid);
}

Result<Child> Child::start(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  return fork([&] {
    const int nothing = ::open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) (void)::dup2(nothing, fd);
    ::execv(words[0], words.data());
    ::_exit(127);
  });
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

bool Child::is_running() const noexcept {
  siginfo_t info{};
  return pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

void Child::end() noexcept {
  if (pid_ <= 0) return;
  (void)::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

Result<ScratchFolder> ScratchFolder::make() {
  std::string path = "/tmp/wbench.XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return fail_errno("make a folder " + path, errno);
  return ScratchFolder(std::move(path));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Status await(const std::string& what, const std::function<bool()>& condition, std::chrono::seconds bound) {
  constexpr std::uint64_t kLookAgainNs = 1'000'000;
  const auto deadline = std::chrono::steady_clock::now() + bound;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(Code::kTimeout, what + ": not within " + std::to_string(bound.count()) + " s");
    }
    gap(kLookAgainNs);
  }
  return {};
}

}  // namespace warden::bench
