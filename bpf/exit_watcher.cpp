// SPDX-License-Identifier: Apache-2.0
// Which mechanism it is to be: the first of the list that loads here.
#include "bpf/exit_watcher.h"

#include "bpf/bpf_watcher.h"
#include "bpf/pidfd_watcher.h"

namespace warden::bpf {

std::string_view to_string(Mechanism mechanism) noexcept {
  switch (mechanism) {
    case Mechanism::kTpBtf: return "tp_btf";
    case Mechanism::kFentry: return "fentry";
    case Mechanism::kTracepoint: return "tracepoint";
    case Mechanism::kPidfd: return "pidfd";
  }
  return "unknown";
}

namespace {

Result<std::unique_ptr<ExitWatcher>> open_one(Mechanism mechanism, const Options& options) {
  if (mechanism == Mechanism::kPidfd) return PidfdWatcher::make();
  auto programs = ExitPrograms::load(mechanism, options);
  if (!programs) return std::unexpected(std::move(programs).error());
  return BpfWatcher::make(mechanism, std::move(*programs));
}

}  // namespace

Result<std::unique_ptr<ExitWatcher>> ExitWatcher::open(const Options& options) {
  std::string reasons;
  Code code = Code::kInvalidArgument;
  for (const Mechanism mechanism : options.mechanisms) {
    auto watcher = open_one(mechanism, options);
    if (watcher) {
      (*watcher)->reason_ = reasons;
      return watcher;
    }
    if (!reasons.empty()) reasons += "; ";
    reasons += std::string(to_string(mechanism)) + ": " + watcher.error().message;
    code = watcher.error().code;
  }
  return fail(code, "no way to watch exits: " + reasons);
}

std::string ExitWatcher::summary() const {
  std::string text(to_string(mechanism()));
  if (!reason_.empty()) text += " (" + reason_ + ")";
  return text;
}

}  // namespace warden::bpf
