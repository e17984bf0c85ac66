// SPDX-License-Identifier: Apache-2.0
// Forked processes of a benchmark, gone when their owner is.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include <warden/result.h>

namespace warden::bench {

// Killed and reaped with the object.
class Child {
 public:
  // Runs `work` in a forked process, which then ends; it also ends when this one does. Fork before making threads.
  [[nodiscard]] static Result<Child> fork(const std::function<void()>& work);

  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept;
  ~Child() { end(); }

 private:
  explicit Child(pid_t pid) noexcept : pid_(pid) {}
  void end() noexcept;
  pid_t pid_ = -1;
};

// Looks again every millisecond until `condition` holds. kTimeout names `what`.
[[nodiscard]] Status await(const std::string& what, const std::function<bool()>& condition,
                           std::chrono::seconds bound = std::chrono::seconds(60));

}  // namespace warden::bench
