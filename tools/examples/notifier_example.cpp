// SPDX-License-Identifier: Apache-2.0
// A program that resets all cards, everybody told before and after: `notifier_example [seconds]`, the time that
// listeners have to acknowledge (2).
#include <fmt/format.h>
#include <warden/reset.h>

#include <charconv>
#include <cstdio>
#include <optional>
#include <string_view>

namespace {

void say(std::string_view line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

std::optional<unsigned> seconds_of(std::string_view text) {
  unsigned seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  constexpr unsigned kDay = 86'400;
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || seconds > kDay) return std::nullopt;
  return seconds;
}

}  // namespace

int main(int argc, char** argv) {
  const auto seconds = argc == 1 ? std::optional<unsigned>(2) : seconds_of(argv[1]);
  if (argc > 2 || !seconds) {
    fmt::print(stderr, "usage: notifier_example [seconds]\n");
    return 2;
  }
  const auto session = warden::Session::attach();
  if (!session) {
    fmt::print(stderr, "notifier_example: {}\n", session.error().message);
    return 1;
  }
  say("attached");
  // PRE_RESET, waiting, the reset, its proof and POST_RESET are all in this one call.
  warden::WarmResetOptions options;
  options.timeout = std::chrono::seconds(*seconds);
  options.reason = "notifier_example";
  options.progress = [](const warden::ResetProgress& step) { say(fmt::format("{}: {}", step.phase, step.message)); };
  const auto report = warden::warm_reset(**session, {}, options);
  if (!report) {
    fmt::print(stderr, "notifier_example: {}\n", report.error().message);
    return 1;
  }
  say(fmt::format("reset {}: {} {}", report->reset_id, to_string(report->result), report->reason));
  return report->result == warden::ResetResult::kOk ? 0 : 1;
}
