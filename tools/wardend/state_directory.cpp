// SPDX-License-Identifier: Apache-2.0
// Making, checking and locking the state directory.
#include "tools/wardend/state_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

namespace warden::daemon {

namespace {

// A keeper that was killed takes its worker with it, which may need a moment to die and let go of the lock. The
// kernel offers no bounded wait for this lock, hence the polling.
constexpr std::chrono::seconds kLockPatience{3};
constexpr std::chrono::milliseconds kLockPoll{20};

bool lock_within_patience(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kLockPoll);
  }
  return true;
}

}  // namespace

Result<UniqueFd> lock_state_directory(const std::string& path, bool with_parents) {
  std::error_code error;
  if (with_parents) {
    std::filesystem::create_directories(path, error);
  } else {
    std::filesystem::create_directory(path, error);
  }
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    const auto cause = error ? error.value() : errno;
    return fail(code_of_errno(cause), "state directory " + path + ": " + std::strerror(cause) +
                                          "; create it or choose another one with --state");
  }
  if (::faccessat(directory.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    return fail(Code::kPermission,
                "state directory " + path + " is not writable; change its owner or choose another one with --state");
  }
  if (!lock_within_patience(directory.get())) {
    return fail(Code::kBusy, "state directory " + path +
                                 " is in use by another wardend; stop that one or choose another one with --state");
  }
  return directory;
}

}  // namespace warden::daemon
