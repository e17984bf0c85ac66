// SPDX-License-Identifier: Apache-2.0
// A locked queue behind an eventfd.
#include "tools/wardend/mailbox.h"

#include <sys/eventfd.h>

#include <cstdint>

namespace warden::daemon {

Status Mailbox::open() {
  event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_) return fail_errno("eventfd");
  return {};
}

void Mailbox::post(std::function<void()> work) {
  {
    const std::scoped_lock lock(mutex_);
    work_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof(one));  // full means readable, which is all that is wanted
}

void Mailbox::run_all() {
  std::uint64_t count = 0;
  (void)!::read(event_.get(), &count, sizeof(count));
  std::vector<std::function<void()>> work;
  {
    const std::scoped_lock lock(mutex_);
    work.swap(work_);
  }
  for (const auto& item : work) item();
}

}  // namespace warden::daemon
