// SPDX-License-Identifier: Apache-2.0
// wardend's coarse time at an address that stays the same, whichever wardend there is.
#pragma once

#include <warden/result.h>

#include "shm/directory_layout.h"

namespace warden::shm {

// One page, mapped read-only from the directory of now. Another directory is mapped over it in place, so that threads
// may be reading all the while. Stands still while wardend is away.
class CoarseClock {
 public:
  [[nodiscard]] static Result<CoarseClock> create();
  CoarseClock(CoarseClock&& other) noexcept;
  CoarseClock& operator=(CoarseClock&&) = delete;
  ~CoarseClock();

  // From now on this directory's time.
  [[nodiscard]] Status follow(int directory_fd);
  // CLOCK_BOOTTIME; 0 before the first directory.
  [[nodiscard]] const Word64& time_ns() const noexcept;

 private:
  explicit CoarseClock(void* page) noexcept : page_(page) {}
  void* page_;
};

}  // namespace warden::shm
