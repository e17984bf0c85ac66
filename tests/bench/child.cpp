// SPDX-License-Identifier: Apache-2.0
// Forking and ending.
#include "tests/bench/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

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

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

void Child::end() noexcept {
  if (pid_ <= 0) return;
  (void)::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
  pid_ = -1;
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
