// SPDX-License-Identifier: Apache-2.0
// The bare futex word that everything is compared with: in a memfd, and read-only where it is waited on, as a word that
// strangers wait on has to be.
#pragma once

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <new>
#include <utility>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::bench {

using FutexWord = std::atomic<std::uint32_t>;

inline void bare_wait(const FutexWord& word, std::uint32_t seen) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}
inline void bare_wake_all(const FutexWord& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Both mappings of the word; forked processes use the read-only one.
class SharedWord {
 public:
  [[nodiscard]] static Result<SharedWord> make() {
    const UniqueFd memory(::memfd_create("bench-word", MFD_CLOEXEC));
    if (!memory || ::ftruncate(memory.get(), kBytes) != 0) return fail_errno("make a memfd", errno);
    void* writable = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    void* readable = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, memory.get(), 0);
    if (writable == MAP_FAILED || readable == MAP_FAILED) return fail_errno("map a memfd", errno);
    return SharedWord(new (writable) FutexWord(0), static_cast<const FutexWord*>(readable));
  }
  SharedWord(SharedWord&& other) noexcept
      : writable_(std::exchange(other.writable_, nullptr)), readable_(std::exchange(other.readable_, nullptr)) {}
  SharedWord& operator=(SharedWord&&) = delete;
  ~SharedWord() {
    if (writable_ != nullptr) ::munmap(writable_, kBytes);
    if (readable_ != nullptr) ::munmap(const_cast<FutexWord*>(readable_), kBytes);
  }
  [[nodiscard]] FutexWord& writable() const noexcept { return *writable_; }
  [[nodiscard]] const FutexWord& readable() const noexcept { return *readable_; }

 private:
  static constexpr std::size_t kBytes = 4096;
  SharedWord(FutexWord* writable, const FutexWord* readable) noexcept : writable_(writable), readable_(readable) {}
  FutexWord* writable_;
  const FutexWord* readable_;
};

}  // namespace warden::bench
