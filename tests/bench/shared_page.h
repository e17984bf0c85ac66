// SPDX-License-Identifier: Apache-2.0
// A value in memory that a benchmark and the processes it forks share.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <new>
#include <utility>

#include <warden/result.h>

namespace warden::bench {

// Value: made of lock-free atomics. Unmapped with the object, in each process on its own.
template <typename Value>
class SharedPage {
 public:
  [[nodiscard]] static Result<SharedPage> make() {
    void* base = ::mmap(nullptr, sizeof(Value), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return fail_errno("map a shared page", errno);
    return SharedPage(new (base) Value);
  }
  SharedPage(SharedPage&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  SharedPage& operator=(SharedPage&&) = delete;
  ~SharedPage() {
    if (value_ != nullptr) ::munmap(value_, sizeof(Value));
  }
  [[nodiscard]] Value* get() const noexcept { return value_; }
  Value* operator->() const noexcept { return value_; }

 private:
  explicit SharedPage(Value* value) noexcept : value_(value) {}
  Value* value_;
};

}  // namespace warden::bench
