// SPDX-License-Identifier: Apache-2.0
// The bare ways to hear of one single-threaded process's exit: a word that a BPF program writes, its ring buffer behind
// an epoll set, a pidfd in an epoll set.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include <warden/result.h>

namespace warden::bench {

class BareExit {
 public:
  [[nodiscard]] static Result<std::unique_ptr<BareExit>> load();
  BareExit(const BareExit&) = delete;
  BareExit& operator=(const BareExit&) = delete;
  virtual ~BareExit() = default;

  virtual void await(pid_t pid) = 0;
  // The time that the program has written; 0: not yet.
  [[nodiscard]] virtual std::uint64_t seen_ns() const noexcept = 0;
  // Sleeps in epoll until the event is there, and takes it.
  [[nodiscard]] virtual Status sleep_until_event() = 0;

 protected:
  BareExit() = default;
};

// Sleeps in epoll until `fd` is readable.
[[nodiscard]] Status sleep_until_readable(int fd);

}  // namespace warden::bench
