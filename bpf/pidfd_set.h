// SPDX-License-Identifier: Apache-2.0
// Processes whose end one descriptor waits for.
#pragma once

#include <cstdint>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::bpf {

// True when all threads of the process are gone.
[[nodiscard]] bool is_readable(int fd) noexcept;

class PidfdSet {
 public:
  [[nodiscard]] static Result<PidfdSet> make();

  // The descriptor stays the caller's, open until remove(). Any other descriptor that becomes readable is welcome too.
  [[nodiscard]] Status add(int pidfd, std::uint64_t id);
  void remove(int pidfd) noexcept;
  // Ids of those that are readable now, up to a batch.
  [[nodiscard]] Status take(std::vector<std::uint64_t>& ids) const;
  // Readable when one of them is.
  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }

 private:
  explicit PidfdSet(UniqueFd epoll) noexcept : epoll_(std::move(epoll)) {}
  UniqueFd epoll_;
};

}  // namespace warden::bpf
