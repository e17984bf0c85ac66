// SPDX-License-Identifier: Apache-2.0
// Exits by pidfd alone: what every kernel and every user can do.
#pragma once

#include <map>

#include "bpf/exit_watcher.h"
#include "bpf/pidfd_set.h"

namespace warden::bpf {

class PidfdWatcher final : public ExitWatcher {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ExitWatcher>> make();
  explicit PidfdWatcher(PidfdSet pidfds) noexcept : pidfds_(std::move(pidfds)) {}

  Status watch(const Watched& watched) override;
  bool forget(std::uint64_t id) override;
  int fd() const noexcept override { return pidfds_.fd(); }
  Status take(std::vector<Death>& deaths) override;
  Counters counters() const override { return {.not_by_hook = told_}; }
  Mechanism mechanism() const noexcept override { return Mechanism::kPidfd; }

 private:
  PidfdSet pidfds_;
  std::map<std::uint64_t, int> alive_;  // pidfds by id
  std::uint64_t told_ = 0;
};

}  // namespace warden::bpf
