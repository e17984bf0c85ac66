// SPDX-License-Identifier: Apache-2.0
// See status_words.h.
#include "tools/warden/status_words.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "tools/warden/duration.h"
#include "tools/warden/json_fields.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

std::uint64_t count(const Json& object, const char* key) { return number<std::uint64_t>(object, key); }

std::string line(const char* what, const std::string& value) { return fmt::format("  {:<18}{}\n", what, value); }

std::string watcher_text(const Json& watcher) {
  const std::string mechanism = text(watcher, "mechanism");
  const std::string reason = text(watcher, "reason");
  std::string line = coloured(stdout, mechanism == "pidfd" ? Colour::kBad : Colour::kGood, mechanism);
  line += flag(watcher, "realtime", false) ? ", real-time" : ", not real-time";
  if (const std::string why = text(watcher, "realtime_reason"); !why.empty()) line += " (" + why + ")";
  if (!flag(watcher, "liveness_page", false)) line += ", no liveness page";
  return reason.empty() ? line : line + "; no better one: " + reason;
}

// What did not go the fast way is found all the same, by the pidfds; it still deserves to be seen.
std::string deaths_text(const Json& watcher) {
  const std::uint64_t dropped = count(watcher, "dropped_events");
  const std::uint64_t missed = count(watcher, "missed_runs");
  const std::string losses = fmt::format("{} events dropped, {} exits missed", dropped, missed);
  return fmt::format("{} seen; {}; {} rescans, {} not by the hook, {} sessions unknown to it", count(watcher, "marked"),
                     dropped + missed == 0 ? losses : coloured(stdout, Colour::kBad, losses), count(watcher, "rescans"),
                     count(watcher, "not_by_hook"), count(watcher, "unknown_to_hook"));
}

std::string server_text(const Json& server) {
  if (!server.is_object()) return "off";
  return fmt::format("{}, clients: {}", text(server, "path"), count(server, "clients"));
}

// One line each: they stay until somebody resets the card.
std::string quarantine_lines(const Json& quarantine) {
  if (!quarantine.is_array() || quarantine.empty()) return line("quarantine", "none");
  std::string lines;
  for (const Json& entry : quarantine) {
    lines +=
        line("quarantine", coloured(stdout, Colour::kBad,
                                    fmt::format("{}, of pid {} ({}), until its next reset: {}", text(entry, "device"),
                                                count(entry, "pid"), text(entry, "name"), text(entry, "reason"))));
  }
  return lines;
}

}  // namespace

Result<std::string> format_status(const std::string& json) {
  const Json status = Json::parse(json, nullptr, false);
  const Json& watcher = member(status, "exit_watcher");
  if (!watcher.is_object()) {
    return fail(Code::kProtocol, "wardend's status is not understood: is it of another version?");
  }
  const Json& allocations = member(status, "allocations");
  const auto uptime = std::chrono::nanoseconds(number<std::int64_t>(status, "uptime_ns"));
  const std::uint64_t reset = count(status, "active_reset");
  std::string words = fmt::format("wardend {}, up {}\n", text(status, "version"), format_age(uptime));
  words += line("worker", fmt::format("pid {}, start {}; keeper pid {}", count(status, "worker_pid"),
                                      count(status, "worker_starts"), count(status, "keeper_pid")));
  words += line("socket", text(status, "socket"));
  words += line("state directory", text(status, "state_directory"));
  words += line("exit watcher", watcher_text(watcher));
  words += line("deaths", deaths_text(watcher));
  words += line("cards", std::to_string(count(status, "devices")));
  words += line("sessions", fmt::format("{}, {} dying, {} being cleaned", count(status, "sessions"),
                                        count(status, "dying"), count(status, "cleaning")));
  words += quarantine_lines(member(status, "quarantine"));
  words += line("reset", reset == 0 ? "none under way" : fmt::format("{} under way", reset));
  words += line("allocations", fmt::format("{} buffers, {}", count(allocations, "records"),
                                           format_bytes(count(allocations, "bytes"))));
  return words + line("allocation server", server_text(member(status, "allocation_server")));
}

}  // namespace warden::cli
