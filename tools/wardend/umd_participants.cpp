// SPDX-License-Identifier: Apache-2.0
// Who took the byte, whether its process lives, and when its grace is over.
#include "tools/wardend/umd_participants.h"

#include <poll.h>

#include <spdlog/spdlog.h>

#include "shm/directory.h"
#include "tools/wardend/umd_listeners.h"

namespace warden::daemon {
namespace {

// Bound on telling all of them: what a foreign directory may cost a reset.
constexpr std::chrono::milliseconds kTellingBound{250};

bool has_died(const UniqueFd& pidfd) noexcept {
  pollfd entry{pidfd.get(), POLLIN, 0};
  return pidfd && ::poll(&entry, 1, 0) == 1;
}

class UmdParticipant final : public Participant {
 public:
  UmdParticipant(UmdListener listener, std::uint64_t grace_ends_ns)
      : listener_(std::move(listener)), grace_ends_ns_(grace_ends_ns) {}

  [[nodiscard]] std::uint64_t session_id() const noexcept override { return 0; }
  [[nodiscard]] int pid() const noexcept override { return listener_.pid; }
  [[nodiscard]] const std::string& name() const noexcept override { return listener_.name; }
  [[nodiscard]] bool can_answer() const noexcept override { return false; }

  [[nodiscard]] Outcome look() override {
    if (has_died(listener_.pidfd)) return Outcome::kDied;
    return shm::boottime_ns() < grace_ends_ns_ ? Outcome::kPending : Outcome::kNotified;
  }
  // Never asked for: it can't be late.
  [[nodiscard]] Status kill() override { return fail(Code::kUnsupported, "a tt-umd listener is never late"); }
  void settle() noexcept override {}

 private:
  UmdListener listener_;
  std::uint64_t grace_ends_ns_;
};

}  // namespace

Participants UmdParticipants::announce(const ResetRecord& record) {
  Participants participants;
  // Who announced the reset by tt-umd's own means has told these listeners already.
  if (record.external) return participants;
  auto told = notify_umd_listeners(options_.directory, UmdMessage::kPreReset, options_.own_name, kTellingBound);
  if (!told) {
    spdlog::warn("tt-umd's listeners were not told of reset {}: {}", record.id, told.error().message);
    return participants;
  }
  const auto grace_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(options_.grace).count();
  const std::uint64_t grace_ends_ns = shm::boottime_ns() + static_cast<std::uint64_t>(grace_ns);
  for (UmdListener& listener : *told) {
    participants.push_back(std::make_unique<UmdParticipant>(std::move(listener), grace_ends_ns));
  }
  return participants;
}

// Whom the last worker told is not known any more; telling them twice is harmless, resetting too early is not.
Participants UmdParticipants::resume(const ResetRecord& record) { return announce(record); }

void UmdParticipants::finish(const ResetRecord& record) noexcept {
  if (record.external) return;
  try {
    auto told = notify_umd_listeners(options_.directory, UmdMessage::kPostReset, options_.own_name, kTellingBound);
    if (!told) spdlog::warn("tt-umd's listeners were not told the end of reset {}", record.id);
  } catch (const std::exception& error) {
    spdlog::warn("tt-umd's listeners were not told the end of reset {}: {}", record.id, error.what());
  }
}

}  // namespace warden::daemon
