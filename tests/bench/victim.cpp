// SPDX-License-Identifier: Apache-2.0
// See victim.h.
#include "tests/bench/victim.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <vector>

#include "bpf/realtime.h"
#include "tests/bench/measure.h"
#include "tests/bench/shared_page.h"

namespace warden::bench {

Result<Victim> Victim::start(std::size_t touched_mb, const std::function<bool()>& prepare) {
  constexpr int kCouldNot = -1;
  auto ready = SharedPage<std::atomic<int>>::make();
  if (!ready) return std::unexpected(std::move(ready).error());
  auto child = Child::fork([&] {
    (void)::signal(SIGTERM, SIG_DFL);
    const std::vector<char> memory(touched_mb << 20, 'x');
    (*ready)->store(!prepare || prepare() ? ::getpid() : kCouldNot);
    for (;;) ::pause();
  });
  if (!child) return std::unexpected(std::move(child).error());
  if (auto ok = bench::await("a process to kill", [&] { return (*ready)->load() != 0; }); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  const pid_t pid = (*ready)->load();
  if (pid == kCouldNot) return fail(Code::kFailed, "a process to kill could not prepare itself");
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return fail_errno("pidfd_open");
  return Victim(std::move(*child), pid, std::move(pidfd));
}

std::uint64_t Victim::kill() const noexcept {
  const std::uint64_t time_ns = now_ns();
  (void)::kill(pid_, SIGKILL);
  return time_ns;
}

Realtime::Realtime() : on_(bpf::make_thread_realtime().has_value()) {}

Realtime::~Realtime() {
  const sched_param ordinary{};
  if (on_) (void)::sched_setscheduler(0, SCHED_OTHER, &ordinary);
}

}  // namespace warden::bench
