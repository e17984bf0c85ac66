// SPDX-License-Identifier: Apache-2.0
// See patient_write.h.
#include "driver/pci/patient_write.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <warden/unique_fd.h>

namespace warden::pci {
namespace {

// In a fork of a process that may have threads: nothing but system calls. Nobody who waits for the caller's pipes to
// end must wait for this one.
[[noreturn]] void write_and_tell(const char* path, const std::string& line, int answer, int lock) {
  constexpr int kAnswer = 0;
  constexpr int kLock = 1;
  // Copies above both, so that neither is lost to the other's new number.
  const int answer_copy = ::fcntl(answer, F_DUPFD, kLock + 1);
  const int lock_copy = ::fcntl(lock, F_DUPFD, kLock + 1);
  if (::dup2(answer_copy, kAnswer) < 0 || ::dup2(lock_copy, kLock) < 0) ::_exit(1);
  ::close_range(kLock + 1, ~0U, 0);
  ::setsid();
  const int file = ::open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  const bool done = file >= 0 && ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = done ? 0 : errno;
  ::close(kLock);  // before anybody is told: whoever comes next must not find it taken by this one's exit
  ::_exit(::write(kAnswer, &error, sizeof error) == sizeof error ? 0 : 1);
}

// A grandchild, so that nobody has to wait for it.
Status start_writer(const char* path, const std::string& line, int answer, int lock) {
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    const pid_t writer = ::fork();
    if (writer == 0) write_and_tell(path, line, answer, lock);
    ::_exit(writer < 0 ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (status != 0) return fail(Code::kIo, "fork: no more processes can be made");
  return {};
}

// The writer's errno; -1: nothing by then.
int await_answer(int pipe, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return -1;
    pollfd readable{.fd = pipe, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, static_cast<int>(left)) <= 0) continue;
    int error = 0;
    return ::read(pipe, &error, sizeof error) == sizeof error ? error : EIO;
  }
}

}  // namespace

Status write_within(const std::string& path, std::string_view text, std::chrono::milliseconds timeout, int lock) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  const UniqueFd answer(ends[0]);
  UniqueFd writers(ends[1]);
  const std::string doing = "write '" + std::string(text) + "' to " + path;
  if (auto started = start_writer(path.c_str(), std::string(text) + '\n', writers.get(), lock); !started) {
    return wrap(std::move(started).error(), doing);
  }
  writers.reset();
  const int error = await_answer(answer.get(), timeout);
  if (error < 0) return fail(Code::kTimeout, doing + ": the kernel has not answered in time");
  if (error > 0) return fail_errno(doing, error);
  return {};
}

}  // namespace warden::pci
