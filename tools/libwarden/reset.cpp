// SPDX-License-Identifier: Apache-2.0
// One reset as seen by who asked for it: the request, the events on the way, the report.
#include <sys/random.h>
#include <warden/reset.h>

#include <nlohmann/json.hpp>

#include "tools/libwarden/client.h"
#include "tools/libwarden/progress_line.h"
#include "tools/libwarden/reset_report.h"

namespace warden {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{500};                // how often the socket is looked at when nothing happens
constexpr milliseconds kLongestStep{5 * 60'000};  // nothing that wardend does without an event takes this long

ResetReport verdict_without_report(std::uint64_t reset_id, ResetResult result, std::string reason) {
  ResetReport report;
  report.reset_id = reset_id;
  report.result = result;
  report.reason = std::move(reason);
  return report;
}

std::uint64_t random_token() {
  std::uint64_t token = 0;
  (void)!::getrandom(&token, sizeof(token), 0);  // as many bytes never come in part
  return token != 0 ? token : 1;
}

// Follows one reset through the ring until its end.
class ResetFollower {
 public:
  ResetFollower(internal::Client& client, std::shared_ptr<internal::Connection> connection,
                const WarmResetOptions& options)
      : client_(client),
        connection_(std::move(connection)),
        options_(options),
        next_event_(connection_->directory().event_count()) {}

  Result<ResetReport> run(const std::vector<std::string>& devices) {
    auto started = start(devices);
    if (!started && started.error().code == Code::kBusy) {
      return verdict_without_report(0, ResetResult::kRefused, started.error().message);
    }
    if (!started) return std::unexpected(std::move(started).error());
    reset_id_ = *started;
    auto ended = follow();
    if (!ended) return std::unexpected(std::move(ended).error());
    return report(*ended);
  }

 private:
  Result<std::uint64_t> start(const std::vector<std::string>& devices) {
    const shm::ResetRequest request{.token = random_token(),
                                    .timeout_ms = clamp_ms(options_.timeout),
                                    .extension_cap_ms = clamp_ms(options_.extension_cap),
                                    .on_timeout = static_cast<std::uint32_t>(options_.on_timeout),
                                    .on_conflict = static_cast<std::uint32_t>(options_.on_conflict),
                                    .reserved = 0};
    const std::string text = nlohmann::json{{"devices", devices}, {"reason", options_.reason}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace);
    const auto reply = client_.request(shm::MessageKind::kReset, internal::bytes_of(request),
                                       std::as_bytes(std::span(text)), {.instance_id = instance_id()});
    if (!reply) return std::unexpected(reply.error());
    const auto started = shm::body_of<shm::ResetStarted>(reply->packet);
    if (!started) return std::unexpected(started.error());
    return started->reset_id;
  }

  // The event of the end, with kCardLost when it will never come.
  struct End {
    ResetResult result = ResetResult::kFailed;
    std::string reason;
    bool has_report = true;
  };

  Result<End> follow() {
    auto deadline = internal::Clock::now() + longest_silence();
    while (true) {
      const std::uint64_t before = next_event_;
      if (auto end = replay()) return *end;
      if (next_event_ != before) deadline = internal::Clock::now() + longest_silence();
      if (internal::Clock::now() > deadline) {
        return fail(Code::kTimeout, "reset " + std::to_string(reset_id_) + ": nothing heard of it for " +
                                        std::to_string(longest_silence().count()) + " ms; last seen: " + phase_);
      }
      connection_->directory().wait_for_event(next_event_, kLook, shm::kWakeFollowers | client_.wake_bit());
      if (connection_->directory().event_count() > next_event_) continue;
      auto gone = look_at_socket();
      if (!gone) return std::unexpected(std::move(gone).error());
      if (*gone) return End{ResetResult::kFailed, "wardend was restarted", false};
    }
  }

  std::optional<End> replay() {
    while (true) {
      const auto event = connection_->directory().event(next_event_);
      if (!event) {  // lapped: the report knows what we missed
        next_event_ = connection_->directory().event_count();
        if (has_report_now()) return End{ResetResult::kFailed, "its result was missed", true};
        continue;
      }
      if (!*event) return std::nullopt;
      ++next_event_;
      if ((*event)->reset_id != reset_id_ && (*event)->kind != shm::EventKind::kWorker) continue;
      tell(**event);
      if ((*event)->kind == shm::EventKind::kResult) {
        return End{static_cast<ResetResult>((*event)->result), (*event)->text, true};
      }
    }
  }

  bool has_report_now() { return internal::request_report(client_, reset_id_).has_value(); }

  // True when the wardend that had the reset is no more.
  Result<bool> look_at_socket() {
    if (!connection_->has_hung_up()) return false;
    const std::uint64_t instance_before = instance_id();
    auto live = client_.live_connection();
    if (!live) return wrap(std::move(live).error(), "await reset " + std::to_string(reset_id_));
    connection_ = std::move(*live);
    return instance_id() != instance_before;
  }

  Result<ResetReport> report(const End& end) {
    if (end.has_report) {
      if (auto report = internal::request_report(client_, reset_id_)) return report;
    }
    return verdict_without_report(reset_id_, end.result, end.reason);
  }

  void tell(const shm::Event& event) {
    if (event.kind == shm::EventKind::kAnnounce || event.kind == shm::EventKind::kPhase) {
      phase_ = internal::phase_name(event.phase);
    }
    if (options_.progress) options_.progress({.phase = phase_, .message = internal::progress_line(event)});
  }

  [[nodiscard]] milliseconds longest_silence() const {
    return options_.timeout + options_.extension_cap + kLongestStep;
  }
  [[nodiscard]] std::uint64_t instance_id() const { return connection_->welcome().instance_id; }
  static std::uint32_t clamp_ms(milliseconds time) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time.count(), 0, UINT32_MAX));
  }

  internal::Client& client_;
  std::shared_ptr<internal::Connection> connection_;
  const WarmResetOptions& options_;
  std::uint64_t next_event_;
  std::uint64_t reset_id_ = 0;
  std::string phase_ = "requested";
};

}  // namespace

Result<ResetReport> warm_reset(Session& session, const std::vector<std::string>& devices,
                               const WarmResetOptions& options) {
  // A wardend that was restarted since the last call is none of this reset's business: attach to it first.
  auto connection = session.client().live_connection();
  if (!connection) return std::unexpected(std::move(connection).error());
  return ResetFollower(session.client(), std::move(*connection), options).run(devices);
}

Result<ResetReport> WarmReset::warm_reset(const WarmResetOptions& options) {
  const auto session = Session::attach();
  if (!session) return std::unexpected(session.error());
  return warden::warm_reset(**session, {}, options);
}

}  // namespace warden
