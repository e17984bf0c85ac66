// SPDX-License-Identifier: Apache-2.0
// warden-sim: simulated Tenstorrent Wormhole cards on vfio-user sockets, and `warden-sim ctl` to look into them and
// break them.
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "tools/sim/board.h"
#include "tools/sim/control.h"
#include "tools/sim/ctl.h"
#include "tools/sim/fault.h"
#include "tools/sim/simulator.h"
#include "tools/sim/tile_name.h"

namespace warden::sim {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int kResetDurationMaxMs = 3'600'000;
constexpr int kQueueLatchingMaxUs = 1'000'000;

struct ServeOptions {
  std::string directory;
  std::string board = "n150";
  std::string harvested_rows = "11";
  std::string function_level_reset = "on";
  bool in_slot = false;
  int reset_duration_ms = 200;
  unsigned links = 1;
  int link_training_ms = 50;
  int queue_latching_us = 0;
  bool deterministic = false;
  std::vector<std::string> faults;
  int ready_descriptor = -1;
};

struct CtlOptions {
  std::string directory;
  std::string chip = "all";
  std::string fault;
  int ms = 0;
  unsigned channel = 0;
  std::string tile;
  std::uint64_t us = 0;
  bool json = false;
};

int complain(const Error& error, int status) {
  fmt::print(stderr, "warden-sim: {}\n", error.message);
  return status;
}

// ---- command line ----

constexpr const char* kExamples = R"(Examples:
  warden-sim --dir /tmp/cards                         one n150, on /tmp/cards/chip0.sock
  warden-sim --board mesh:2x4 --dir /tmp/cards        eight chips, chip0.sock to chip7.sock
  warden-sim --dir /tmp/cards --fault 0:arc-hung      a card whose firmware hangs
  warden-sim ctl --dir /tmp/cards stats --json
  warden-sim ctl --dir /tmp/cards fault 0 reset-ignored
  warden-sim ctl --dir /tmp/cards fault all none
  warden-sim ctl --dir /tmp/cards hang 0 e3           its core stands still, its memory can be read and written)";

void add_serve_options(CLI::App& app, ServeOptions& options) {
  app.add_option("--dir", options.directory, "Directory of the sockets; made if missing")->type_name("DIR");
  app.add_option("--board", options.board, "n150, or mesh:RxC with at most 32 chips")->capture_default_str();
  app.add_option("--harvest", options.harvested_rows, "Tensix rows that are fused off, as in 11,1, or none")
      ->type_name("ROWS")
      ->capture_default_str();
  app.add_option("--flr", options.function_level_reset, "Whether cards can do a function-level reset")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_flag("--in-slot", options.in_slot,
               "Show a card as its slot does, to a virtual machine whose kernel drives it; else as VFIO does");
  app.add_option("--reset-duration", options.reset_duration_ms, "Milliseconds that a reset takes")
      ->type_name("MS")
      ->check(CLI::Range(0, kResetDurationMaxMs))
      ->capture_default_str();
  app.add_option("--links", options.links, "Ethernet links between neighbours of a mesh")
      ->type_name("N")
      ->check(CLI::Range(1, int{kLinksPerEdgeMax}))
      ->capture_default_str();
  app.add_option("--link-training", options.link_training_ms, "Milliseconds that a link takes to come up")
      ->type_name("MS")
      ->check(CLI::Range(0, kResetDurationMaxMs))
      ->capture_default_str();
  app.add_option("--queue-latching", options.queue_latching_us,
                 "Microseconds that a transmit queue is busy before it looks at what it is told")
      ->type_name("US")
      ->check(CLI::Range(0, kQueueLatchingMaxUs))
      ->capture_default_str();
  app.add_flag("--deterministic", options.deterministic,
               "Time stands still but for 1 us with each access of a client, and for `ctl step`");
  app.add_option("--fault", options.faults,
                 "Start with a fault: arc-hung, off-bus, reset-hangs, reset-ignored, noc-stuck, training-fails")
      ->type_name("[CHIP:]NAME");
  app.add_option("--ready-fd", options.ready_descriptor, "Write a byte to this descriptor when all sockets are served")
      ->type_name("N");
}

void add_ctl_options(CLI::App& ctl, CtlOptions& options) {
  ctl.require_subcommand(1);
  ctl.fallthrough();
  ctl.add_option("--dir", options.directory, "Directory that the simulator serves")->type_name("DIR")->required();
  const auto add = [&](const char* name, const char* help) { return ctl.add_subcommand(name, help); };
  const auto add_chip = [&](CLI::App* command) {
    command->add_option("CHIP", options.chip, "Number of the chip, or all")->required();
  };
  for (CLI::App* report : {add("stats", "Counters of every chip"), add("status", "State of every chip"),
                           add("digest", "A number for the memory of every chip, and one for its NoC counters")}) {
    report->add_flag("--json", options.json, "One JSON object");
  }
  CLI::App* step = add("step", "Let time pass, in deterministic mode");
  step->add_flag("--json", options.json, "One JSON object");
  step->add_option("US", options.us, "Microseconds")->required()->check(CLI::Range(std::uint64_t{0}, kStepMaxUs));
  CLI::App* fault = add("fault", "Break a chip, or heal it with none");
  add_chip(fault);
  fault->add_option("NAME", options.fault, "The fault")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(kFaultNames.begin(), kFaultNames.end())));
  CLI::App* duration = add("reset-duration", "How long resets take from now on");
  add_chip(duration);
  duration->add_option("MS", options.ms, "Milliseconds")->required()->check(CLI::Range(0, kResetDurationMaxMs));
  add_chip(add("link-reset", "Begin a reset of the PCIe link"));
  add_chip(add("board-reset", "Let the board controller reset the chip, unasked by its ARC"));
  add_chip(add("interrupt", "Let the card raise its interrupt"));
  add_chip(
      add("want-back", "Say, as a kernel would, that it wants the card back: to unbind it, or because it was pulled"));
  add_chip(add("bus-error", "Say, as a kernel would, that the bus reported an error of the card"));
  for (CLI::App* cable : {add("unplug", "Pull out the Ethernet cable between two chips"),
                          add("plug", "Put it back in; the link trains again")}) {
    add_chip(cable);
    cable->add_option("CHANNEL", options.channel, "At E0 to E15 of that chip")->required()->check(CLI::Range(0, 15));
  }
  for (CLI::App* core : {add("hang", "Take its turns away from a core, until thaw or a reset"),
                         add("thaw", "Let a core that hangs go on where it was")}) {
    add_chip(core);
    core->add_option("TILE", options.tile, "X,Y in NoC #0 coordinates, or eN for E0 to E15")
        ->required()
        ->check([](const std::string& text) {
          return tile_by_name(text) ? std::string() : fmt::format("no tile '{}': write X,Y or eN", text);
        });
  }
}

// ---- ctl ----

int run_ctl(const CLI::App& ctl, const CtlOptions& options) {
  const std::string command = ctl.get_subcommands().front()->get_name();
  nlohmann::json request{{"command", command}};
  if (!options.fault.empty()) request["name"] = options.fault;
  if (command == "reset-duration") request["ms"] = options.ms;
  if (command == "plug" || command == "unplug") request["channel"] = options.channel;
  if (command == "step") request["us"] = options.us;
  if (!options.tile.empty()) request["tile"] = options.tile;
  if (options.chip != "all") {
    const bool digits = options.chip.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || options.chip.empty() || options.chip.size() > 4) {
      return complain({Code::kInvalidArgument, fmt::format("no chip '{}': use a number or all", options.chip)},
                      kExitUsage);
    }
    request["chip"] = static_cast<unsigned>(std::stoul(options.chip));
  }
  const Result<nlohmann::json> answer = ask_simulator(options.directory, request);
  if (!answer) return complain(answer.error(), kExitFailure);
  if (options.json) {
    fmt::print("{}\n", answer->dump());
  } else {
    fmt::print("{}", to_text(*answer));
  }
  return 0;
}

// ---- serve ----

struct ChipFault {
  std::optional<unsigned> chip;  // none: all
  Fault fault = Fault::kNone;
};

Result<ChipFault> parse_fault(const std::string& text, unsigned chips) {
  const std::size_t colon = text.find(':');
  ChipFault parsed;
  if (colon != std::string::npos) {
    const std::string number = text.substr(0, colon);
    const bool digits =
        !number.empty() && number.size() < 4 && number.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || std::stoul(number) >= chips) {
      return fail(Code::kInvalidArgument, fmt::format("--fault {}: chips of this board are 0 to {}", text, chips - 1));
    }
    parsed.chip = static_cast<unsigned>(std::stoul(number));
  }
  const auto fault = fault_by_name(colon == std::string::npos ? text : text.substr(colon + 1));
  if (!fault) {
    return fail(Code::kInvalidArgument,
                fmt::format("--fault {}: use [CHIP:]NAME with one of {}", text, fmt::join(kFaultNames, ", ")));
  }
  parsed.fault = *fault;
  return parsed;
}

struct Plan {
  BoardOptions board;
  std::vector<ChipFault> faults;
};

Result<Plan> plan(const ServeOptions& options) {
  if (options.directory.empty())
    return fail(Code::kInvalidArgument, "--dir DIR is missing: where shall the sockets be?");
  Result<Board> board = parse_board(options.board);
  if (!board) return wrap(std::move(board).error(), "--board");
  Result<std::vector<std::uint8_t>> rows = parse_rows(options.harvested_rows);
  if (!rows) return wrap(std::move(rows).error(), "--harvest");
  Plan plan{.board = {.board = *board,
                      .harvested_rows = *rows,
                      .function_level_reset = options.function_level_reset == "on",
                      .in_slot = options.in_slot,
                      .reset_duration = std::chrono::milliseconds(options.reset_duration_ms),
                      .links_per_edge = static_cast<std::uint8_t>(options.links),
                      .link_training = std::chrono::milliseconds(options.link_training_ms),
                      .queue_latching = std::chrono::microseconds(options.queue_latching_us),
                      .deterministic = options.deterministic},
            .faults = {}};
  for (const std::string& text : options.faults) {
    Result<ChipFault> fault = parse_fault(text, board->chips());
    if (!fault) return std::unexpected(fault.error());
    plan.faults.push_back(*fault);
  }
  return plan;
}

// SIGTERM and SIGINT as a descriptor; blocked before the first thread starts, so that none of them dies of one.
Result<UniqueFd> stop_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0) {
    return fail_errno("block signals", error);
  }
  UniqueFd descriptor(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!descriptor) return fail_errno("signalfd");
  return descriptor;
}

void announce(const Simulator& simulator, int ready_descriptor) {
  for (const auto& chip : simulator.chips()) fmt::print("listening on {}\n", chip->listener().path());
  fmt::print("ready\n");
  std::fflush(stdout);
  if (ready_descriptor < 0) return;
  constexpr char kReady = '1';
  if (::write(ready_descriptor, &kReady, 1) != 1) spdlog::warn("--ready-fd {}: nobody reads it", ready_descriptor);
  ::close(ready_descriptor);
}

int serve(const ServeOptions& options) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("warden-sim"));
  const Result<Plan> planned = plan(options);
  if (!planned) return complain(planned.error(), kExitUsage);
  const Result<UniqueFd> stop = stop_signals();
  if (!stop) return complain(stop.error(), kExitFailure);
  const auto simulator = Simulator::create(options.directory, planned->board);
  if (!simulator) return complain(simulator.error(), kExitFailure);
  const auto& chips = (*simulator)->chips();
  for (const ChipFault& fault : planned->faults) {
    for (std::size_t i = 0; i < chips.size(); ++i) {
      if (fault.chip && *fault.chip != i) continue;
      chips[i]->function().locked([&](Chip& chip) { return chip.set_fault(fault.fault), true; });
    }
  }
  announce(**simulator, options.ready_descriptor);
  const Status done = (*simulator)->run(stop->get());
  return done ? 0 : complain(done.error(), kExitFailure);
}

int run(int argc, char** argv) {
  CLI::App app("Simulated Tenstorrent Wormhole cards, each on a vfio-user socket of its own.", "warden-sim");
  app.footer(kExamples);
  ServeOptions serve_options;
  CtlOptions ctl_options;
  add_serve_options(app, serve_options);
  CLI::App* ctl = app.add_subcommand("ctl", "Look into a running simulator, or break its cards");
  add_ctl_options(*ctl, ctl_options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return complain({Code::kInvalidArgument, fmt::format("{}; see warden-sim --help", error.what())}, kExitUsage);
  }
  return ctl->parsed() ? run_ctl(*ctl, ctl_options) : serve(serve_options);
}

}  // namespace
}  // namespace warden::sim

int main(int argc, char** argv) { return warden::sim::run(argc, argv); }
