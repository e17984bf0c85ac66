// SPDX-License-Identifier: Apache-2.0
// `warden fabric traffic start`: sinks where packets go, then generators.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "driver/fabric/worker.h"
#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_flows.h"
#include "tools/warden/fabric_pattern.h"
#include "tools/warden/option_types.h"
#include "tools/warden/progress.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

constexpr std::uint64_t kCyclesPerSecond = 1'000'000'000;  // of the cores' clock

struct StartOptions {
  std::string from;
  std::string to;
  TrafficPattern pattern = TrafficPattern::kRing;
  fabric::MeshId mesh = 0;
  std::uint32_t size_bytes = kernels::kPayloadBytesMax;
  std::uint32_t rate = 0;             // packets a second; 0: as fast as it goes
  std::uint32_t interval_cycles = 0;  // the same in cycles
  std::uint32_t packets = 0;
  std::chrono::milliseconds timeout{1000};
  bool as_json = false;
};

// Takes back what it has started, unless it is told to keep it.
class Starter {
 public:
  Starter(fabric::ControlPlane& fabric, const StartOptions& options, Traffic running)
      : fabric_(fabric), options_(options), running_(std::move(running)) {}
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;
  ~Starter() {
    if (!is_kept_) take_back();
  }

  [[nodiscard]] Status start(const fabric::WorkerMemoryLayout& memory, const Route& route) {
    const auto& [from, to] = route;
    const auto sink = sink_on(to);
    if (!sink) return std::unexpected(sink.error());
    const auto tile = fabric::free_tile(fabric_, from);
    if (!tile) return std::unexpected(tile.error());
    const fabric::GeneratorOptions options{.destination = to,
                                           .destination_tile = sink->tile,
                                           .memory = memory,
                                           .packets = options_.packets,
                                           .interval_cycles = interval_cycles(),
                                           .first_sequence = next_sequence(from, *tile, *sink)};
    auto generator = fabric::start_generator(fabric_, from, *tile, options, options_.timeout);
    if (!generator) return std::unexpected(generator.error());
    started_.push_back(*generator);
    return {};
  }
  void keep() { is_kept_ = true; }
  [[nodiscard]] std::size_t sinks_started() const {
    return static_cast<std::size_t>(std::ranges::count(started_, kernels::WorkerKind::kSink, &fabric::Worker::kind));
  }

 private:
  [[nodiscard]] std::uint32_t interval_cycles() const {
    return options_.rate != 0 ? static_cast<std::uint32_t>(kCyclesPerSecond / options_.rate) : options_.interval_cycles;
  }
  // The one that is there already, or a new one.
  [[nodiscard]] Result<fabric::Worker> sink_on(const fabric::FabricNodeId& node) {
    for (const auto* workers : {&running_.sinks, &started_}) {
      for (const fabric::Worker& worker : *workers) {
        if (worker.kind == kernels::WorkerKind::kSink && worker.node == node && worker.whole) return worker;
      }
    }
    const auto tile = fabric::free_tile(fabric_, node);
    if (!tile) return std::unexpected(tile.error());
    auto sink = fabric::start_sink(fabric_, node, *tile, options_.timeout);
    if (sink) started_.push_back(*sink);
    return sink;
  }
  // A sink that has counted a predecessor on the same tile awaits the number after its last one.
  [[nodiscard]] std::uint32_t next_sequence(const fabric::FabricNodeId& from, fabric::Tile tile,
                                            const fabric::Worker& sink) const {
    for (const Flow& flow : running_.flows) {
      if (flow.sink && flow.source == from && flow.source_tile == tile && flow.destination == sink.node &&
          flow.destination_tile == sink.tile) {
        return flow.sink->next_sequence;
      }
    }
    return 0;
  }
  // The error that led here is the one to tell; what can't be taken back 'traffic stop' finds.
  void take_back() {
    for (const fabric::Worker& worker : started_) {
      if (worker.kind == kernels::WorkerKind::kGenerator) (void)fabric::signal_worker_teardown(fabric_, worker);
    }
    std::ranges::reverse(started_);  // generators before their sinks
    for (const fabric::Worker& worker : started_) {
      if (worker.kind == kernels::WorkerKind::kGenerator) {
        (void)fabric::wait_for_worker_complete(fabric_, worker, options_.timeout);
      }
      (void)fabric::detach_worker(fabric_, worker, options_.timeout);
    }
  }

  fabric::ControlPlane& fabric_;
  const StartOptions& options_;
  Traffic running_;
  std::vector<fabric::Worker> started_;
  bool is_kept_ = false;
};

Result<std::vector<Route>> find_routes(const fabric::ControlPlane& fabric, const StartOptions& options) {
  const auto places = places_of(fabric);
  if (!options.from.empty()) {
    const auto from = find_device(options.from, places, options.mesh);
    if (!from) return std::unexpected(from.error());
    const auto to = find_device(options.to, places, options.mesh);
    if (!to) return std::unexpected(to.error());
    if (from->mesh_id == to->mesh_id && *from != *to) return std::vector<Route>{{*from, *to}};
    return fail(Code::kInvalidArgument, "packets go from a device to another one of the same mesh");
  }
  std::vector<fabric::FabricNodeId> devices;
  for (const Place& place : places) {
    if (place.node.mesh_id == options.mesh && place.card) devices.push_back(place.node);
  }
  auto routes = routes_of(options.pattern, devices);
  if (routes.empty()) {
    return fail(Code::kNotFound, fmt::format("mesh {} has no two devices to send between: 'warden fabric topology' "
                                             "lists the meshes",
                                             options.mesh));
  }
  return routes;
}

int start_traffic(const Context& context, const StartOptions& options) {
  const auto memory = fabric::allocate_worker_memory(options.size_bytes);
  if (!memory) return report(memory.error());
  auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto routes = find_routes(*fabric, options);
  if (!routes) return report(routes.error());
  auto running = read_traffic(*fabric);
  if (!running) return report(running.error());
  const Progress progress(counted(routes->size(), "generator") + " to start");
  Starter starter(*fabric, options, std::move(*running));
  for (const Route& route : *routes) {
    if (const auto started = starter.start(*memory, route); !started) return report(started.error());
  }
  starter.keep();
  if (options.as_json) {
    fmt::print("{}\n", json_text({{"generators", routes->size()}, {"sinks", starter.sinks_started()}}));
  } else {
    fmt::print("{} {}, {}\n", coloured(stdout, Colour::kGood, "STARTED"), counted(routes->size(), "generator"),
               counted(starter.sinks_started(), "sink"));
  }
  return kExitOk;
}

void add_options(CLI::App& command, StartOptions& options) {
  CLI::Option* from = command.add_option("--from", options.from, "Send from this device alone")->type_name("DEVICE");
  CLI::Option* to = command.add_option("--to", options.to, "And to this one")->type_name("DEVICE");
  CLI::Option* pattern = add_choice_option(
      command, "--pattern", options.pattern, "Who sends to whom (ring)",
      {{"pairs", TrafficPattern::kPairs}, {"ring", TrafficPattern::kRing}, {"all", TrafficPattern::kAll}});
  from->needs(to)->excludes(pattern);
  to->needs(from)->excludes(pattern);
  command.add_option("--mesh", options.mesh, "In this mesh (0)")->type_name("NUMBER");
  command.add_option("--size", options.size_bytes, fmt::format("Payload of a packet ({})", kernels::kPayloadBytesMax))
      ->type_name("BYTES")
      ->check([](const std::string& text) {
        const auto size = parse_number(text);
        const bool fits = size && *size >= kernels::kLineBytes && *size <= kernels::kPayloadBytesMax &&
                          *size % kernels::kLineBytes == 0;
        return fits ? std::string()
                    : fmt::format("'{}' is not a multiple of {} up to {}", text, kernels::kLineBytes,
                                  kernels::kPayloadBytesMax);
      });
  CLI::Option* rate = command.add_option("--rate", options.rate, "Packets a second of each (as many as it can)")
                          ->type_name("NUMBER")
                          ->check(CLI::Range(1U, 100'000'000U));
  command.add_option("--interval", options.interval_cycles, "The same as cycles from packet to packet")
      ->type_name("CYCLES")
      ->check(CLI::Range(1U, 0xFFFF'FFFFU))
      ->excludes(rate);
  command.add_option("--packets", options.packets, "How many packets each sends (until 'stop')")
      ->type_name("NUMBER")
      ->check(CLI::Range(1U, 0xFFFF'FFFFU));
  add_duration_option(command, "--timeout", options.timeout, "How long each may take to start");
  command.add_flag("--json", options.as_json, "Print JSON");
}

}  // namespace

void add_traffic_start(CLI::App& traffic, Context& context) {
  CLI::App* command = traffic.add_subcommand("start", "Start generators, and sinks that check what arrives");
  command->footer(
      "Patterns: pairs, the first and second device to each other, and so on; ring, each to the next; all, each to\n"
      "every other. Sinks check number, order and content of every packet. All are started, or none.\n\n"
      "Examples:\n"
      "  warden fabric traffic start\n"
      "  warden fabric traffic start --from 0,0 --to 1,1 --size 64 --packets 1000\n"
      "  warden fabric traffic start --pattern all --rate 10000");
  auto options = std::make_shared<StartOptions>();
  add_options(*command, *options);
  command->callback(
      [&context, options] { context.run = [&context, options] { return start_traffic(context, *options); }; });
}

}  // namespace warden::cli
