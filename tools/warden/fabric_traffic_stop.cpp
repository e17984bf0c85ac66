// SPDX-License-Identifier: Apache-2.0
// `warden fabric traffic stop`: no new packets, all that were sent arrive, cores and lanes are given back. Killed at
// any point, the next one goes on from there: what is still attached is found on the cards.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/worker.h"
#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_flows.h"
#include "tools/warden/option_types.h"
#include "tools/warden/progress.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct StopOptions {
  std::chrono::milliseconds timeout{5000};
  bool as_json = false;
};

struct Stopped {
  Traffic traffic;                         // as it was when all had arrived, or time was up
  std::vector<std::string> problems = {};  // one line each
  bool is_stopped = true;                  // else everything stays
};

class Stopping {
 public:
  Stopping(fabric::ControlPlane& fabric, std::chrono::milliseconds timeout)
      : fabric_(fabric), deadline_(Clock::now() + timeout) {}

  [[nodiscard]] Result<Stopped> run() {
    auto traffic = read_traffic(fabric_);
    if (!traffic) return std::unexpected(traffic.error());
    for (const fabric::Worker& generator : traffic->generators) {
      note(fabric::signal_worker_teardown(fabric_, generator));
    }
    auto arrived = await_end();
    if (!arrived) return std::unexpected(arrived.error());
    // A generator that is not done, or a sink that awaits packets, stays: taken away, it would leave packets behind
    // that nobody counts.
    const bool is_stopped = problems_.empty();
    if (is_stopped) {
      for (const auto* workers : {&arrived->generators, &arrived->sinks}) {
        for (const fabric::Worker& worker : *workers) note(fabric::detach_worker(fabric_, worker, kDetachTimeout));
      }
    }
    note_dropped(*arrived);
    return Stopped{.traffic = std::move(*arrived), .problems = std::move(problems_), .is_stopped = is_stopped};
  }

 private:
  static constexpr std::chrono::milliseconds kDetachTimeout{1000};
  static constexpr std::chrono::milliseconds kPollInterval{10};

  void note(const Status& status) {
    if (!status) problems_.push_back(status.error().message);
  }
  void note_dropped(const Traffic& traffic) {
    std::uint64_t packets = 0;
    for (const Flow& flow : traffic.flows) {
      if (flow.is_sink_gone && flow.sender) packets += flow.sender->sent;
    }
    if (packets == 0) return;
    problems_.push_back(fmt::format("{} went to sinks that are gone with a reset of their chips: dropped there",
                                    counted(packets, "packet")));
  }
  // Until no generator runs and nothing is on its way.
  [[nodiscard]] Result<Traffic> await_end() {
    for (;;) {
      const bool is_last = Clock::now() >= deadline_;
      auto traffic = read_traffic(fabric_);
      if (!traffic || (running_in(*traffic) == 0 && traffic->has_arrived())) return traffic;
      if (is_last) {
        problems_.push_back(missing_text(*traffic));
        return traffic;
      }
      std::this_thread::sleep_for(kPollInterval);
    }
  }
  static std::size_t running_in(const Traffic& traffic) {
    return static_cast<std::size_t>(std::ranges::count_if(traffic.flows, &Flow::is_sending));
  }
  [[nodiscard]] std::string missing_text(const Traffic& traffic) {
    std::uint64_t missing = 0;
    for (const Flow& flow : traffic.flows) missing += flow.on_the_way().value_or(0);
    const auto not_running = fabric::FabricRouterStateManager(fabric_).examine().not_running;
    return fmt::format("{} not done, {} not arrived in time: {}", counted(running_in(traffic), "generator"),
                       counted(missing, "packet"),
                       not_running.empty() ? "'warden fabric status --probe' says which router hangs"
                                           : fmt::format("{} paused: 'warden fabric resume', then stop again",
                                                         counted(not_running.size(), "router")));
  }

  fabric::ControlPlane& fabric_;
  Clock::time_point deadline_;
  std::vector<std::string> problems_;
};

struct Sums {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

Sums sums_of(const Traffic& traffic) {
  Sums sums;
  for (const Flow& flow : traffic.flows) {
    if (flow.sender) sums.sent += flow.sender->sent;
    if (flow.sink) sums.received += flow.sink->received;
  }
  return sums;
}

int print_stopped(const Stopped& stopped, bool as_json) {
  const Traffic& traffic = stopped.traffic;
  const bool is_good = stopped.problems.empty() && !traffic.has_errors();
  const Sums sums = sums_of(traffic);
  if (as_json) {
    Json json = json_of(traffic);
    json["sent"] = sums.sent;
    json["received"] = sums.received;
    json["problems"] = stopped.problems;
    fmt::print("{}\n", json_text(json));
  } else if (traffic.generators.empty() && traffic.sinks.empty()) {
    fmt::print("no traffic to stop\n");
  } else {
    fmt::print("{}\n{} {}: {} sent, {} received\n", format_traffic(traffic),
               coloured(stdout, is_good ? Colour::kGood : Colour::kBad, stopped.is_stopped ? "STOPPED" : "NOT STOPPED"),
               counted(traffic.flows.size(), "flow"), sums.sent, sums.received);
  }
  for (const std::string& problem : stopped.problems) fmt::print(stderr, "warden: {}\n", printable(problem));
  return is_good ? kExitOk : kExitFailed;
}

int stop_traffic(const Context& context, const StopOptions& options) {
  auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto stopped = [&] {
    const Progress progress("every packet to arrive");
    return Stopping(*fabric, options.timeout).run();
  }();
  return stopped ? print_stopped(*stopped, options.as_json) : report(stopped.error());
}

}  // namespace

void add_traffic_stop(CLI::App& traffic, Context& context) {
  CLI::App* command = traffic.add_subcommand("stop", "Stop all generators, wait for their packets, take all away");
  command->footer(
      "Exit status: 0 when every packet that was sent has arrived, once, in order and unchanged; else 1, and what is\n"
      "not done stays, for another try.\n\n"
      "Examples:\n"
      "  warden fabric traffic stop\n"
      "  warden fabric traffic stop --timeout 30s --json | jq '{sent, received}'");
  auto options = std::make_shared<StopOptions>();
  add_duration_option(*command, "--timeout", options->timeout, "How long packets may take to arrive");
  command->add_flag("--json", options->as_json, "Print JSON");
  command->callback(
      [&context, options] { context.run = [&context, options] { return stop_traffic(context, *options); }; });
}

}  // namespace warden::cli
