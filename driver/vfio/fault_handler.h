// SPDX-License-Identifier: Apache-2.0
// Lets a process outlive its own accesses to a card that is being reset, was reset or is gone: a mapping from before a
// reset raises SIGSEGV, one of a card whose memory is switched off SIGBUS.
#pragma once

#include <cstddef>

#include <warden/result.h>

namespace warden::vfio {

// Installs a handler for SIGSEGV and SIGBUS, for the whole process and for good. It mends only the driver's own
// accesses (Mapping::read32(), write32() and copies under a CopyGuard); every other fault goes to the handler that was
// there before, or kills as if there were none. A handler installed later must chain to this one. Repeated: nothing
// more happens. kUnsupported where accesses can't be told from others (processors other than x86-64).
[[nodiscard]] Status survive_faults();

// While run() works on the mapped range of a copy, a fault inside that range ends it.
class CopyGuard {
 public:
  CopyGuard(const void* base, std::size_t size_bytes) noexcept : base_(base), size_bytes_(size_bytes) {}

  // Whether `copy` ended by itself. It runs on this thread, must not own anything while it touches the range (its
  // destructors are not run) and makes no second guard.
  template <typename Copy>
  [[nodiscard]] bool run(const Copy& copy) const noexcept {
    const auto call = [](const void* what) { (*static_cast<const Copy*>(what))(); };
    return run_erased(call, &copy);
  }

 private:
  bool run_erased(void (*call)(const void*), const void* copy) const noexcept;

  const void* base_;
  std::size_t size_bytes_;
};

}  // namespace warden::vfio
