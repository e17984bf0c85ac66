// SPDX-License-Identifier: Apache-2.0
// Children for tests: something run in a process of its own, always waited for, and waiting with a deadline.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

#include "tests/support/process.h"

namespace warden::test {

// Killed and reaped with its owner.
class Child {
 public:
  explicit Child(const std::function<int()>& work) : pid_(::fork()) {
    if (pid_ == 0) ::_exit(work());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)wait();
  }

  [[nodiscard]] int pid() const noexcept { return pid_; }
  // Exit status, or minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

inline int in_child(const std::function<int()>& work) { return Child(work).wait(); }

// A file in such a directory.
inline std::string operator/(const TemporaryDirectory& directory, const std::string& name) {
  return directory.path() + "/" + name;
}

}  // namespace warden::test
