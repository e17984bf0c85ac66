// SPDX-License-Identifier: Apache-2.0
// A fault is ours when its instruction is in the table of guarded_access.h, or when its address lies in the range that
// this thread is copying from or to.
#include "driver/vfio/fault_handler.h"

#include "driver/vfio/guarded_access.h"

#if WARDEN_SURVIVABLE_ACCESSES

#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <mutex>

#include <ucontext.h>

namespace warden::vfio {
namespace {

// As WARDEN_FIX_UP writes them.
struct FixUp {
  std::int32_t instruction;
  std::int32_t target;
  std::int32_t is_load;
};

// The linker's names for the ends of the section. Weak: a program without any access has no section.
extern "C" {
extern const FixUp __start_warden_fix_ups[] [[gnu::weak, gnu::visibility("hidden")]];  // NOLINT
extern const FixUp __stop_warden_fix_ups[] [[gnu::weak, gnu::visibility("hidden")]];   // NOLINT
}

struct Copying {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  sigjmp_buf back{};
};

// Read by the handler on the thread that faulted.
// Initial-exec: reading it never allocates.
[[gnu::tls_model("initial-exec")]] thread_local Copying* t_copying = nullptr;

struct sigaction g_former_segv{};
struct sigaction g_former_bus{};

std::uintptr_t resolve(const std::int32_t& distance) {
  return reinterpret_cast<std::uintptr_t>(&distance) + static_cast<std::uintptr_t>(std::intptr_t{distance});
}

bool mend_access(ucontext_t& context) {
  auto& instruction = context.uc_mcontext.gregs[REG_RIP];
  for (const FixUp* row = __start_warden_fix_ups; row != __stop_warden_fix_ups; ++row) {
    if (resolve(row->instruction) != static_cast<std::uintptr_t>(instruction)) continue;
    instruction = static_cast<greg_t>(resolve(row->target));
    if (row->is_load != 0) context.uc_mcontext.gregs[REG_RAX] = kNothingThere;
    return true;
  }
  return false;
}

void chain(int signal, siginfo_t* info, void* context) {
  const struct sigaction& former = signal == SIGBUS ? g_former_bus : g_former_segv;
  if ((former.sa_flags & SA_SIGINFO) != 0) return former.sa_sigaction(signal, info, context);
  if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) return former.sa_handler(signal);
  // Nobody's: it happens again at once, without a handler. (A signal that somebody sent does not, and is sent again.)
  struct sigaction none{};
  none.sa_handler = SIG_DFL;
  ::sigaction(signal, &none, nullptr);
  if (info->si_code <= 0) ::raise(signal);
}

// The handler's end, which is jumped over, would give the thread its signal mask back.
[[noreturn]] void leave_copy(const ucontext_t& context) {
  ::pthread_sigmask(SIG_SETMASK, &context.uc_sigmask, nullptr);
  ::siglongjmp(t_copying->back, 1);
}

void on_fault(int signal, siginfo_t* info, void* context) {
  if (info->si_code > 0) {  // the kernel's word, not another process's
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    if (t_copying != nullptr && address >= t_copying->begin && address < t_copying->end) {
      leave_copy(*static_cast<ucontext_t*>(context));
    }
    if (mend_access(*static_cast<ucontext_t*>(context))) return;
  }
  chain(signal, info, context);
}

}  // namespace

Status survive_faults() {
  static std::once_flag once;
  static int error = 0;
  std::call_once(once, [] {
    struct sigaction ours{};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    // A former handler is read only when a fault comes, and no access of ours is under way before this returns.
    if (::sigaction(SIGSEGV, &ours, &g_former_segv) != 0 || ::sigaction(SIGBUS, &ours, &g_former_bus) != 0) {
      error = errno;
    }
  });
  if (error != 0) return fail_errno("install a handler for SIGSEGV and SIGBUS", error);
  return {};
}

bool CopyGuard::run_erased(void (*call)(const void*), const void* copy) const noexcept {
  Copying copying;
  copying.begin = reinterpret_cast<std::uintptr_t>(base_);
  copying.end = copying.begin + size_bytes_;
  if (sigsetjmp(copying.back, 0) != 0) {
    t_copying = nullptr;
    return false;
  }
  t_copying = &copying;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  call(copy);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t_copying = nullptr;
  return true;
}

}  // namespace warden::vfio

#else

namespace warden::vfio {

Status survive_faults() {
  return fail(Code::kUnsupported, "this build can't tell its own accesses to a card from others; x86-64 only");
}

bool CopyGuard::run_erased(void (*call)(const void*), const void* copy) const noexcept {
  call(copy);
  return true;
}

}  // namespace warden::vfio

#endif
