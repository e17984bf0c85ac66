// SPDX-License-Identifier: Apache-2.0
// `warden fabric traffic watch`: what every router sends, again and again.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <thread>
#include <utility>

#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_rates.h"
#include "tools/warden/fabric_words.h"
#include "tools/warden/live_view.h"
#include "tools/warden/option_types.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

constexpr std::chrono::milliseconds kShortestInterval{10};
constexpr std::chrono::milliseconds kFirstLook{200};  // nobody wants to wait for the first figures

struct WatchOptions {
  std::chrono::milliseconds interval = std::chrono::seconds(1);
  bool as_json = false;
  SelectionWords selection;
};

struct Totals {
  double words_per_second = 0;
  double packets_per_second = 0;
};

class Watch {
 public:
  Watch(const fabric::ControlPlane& fabric, fabric::RouterList routers, const WatchOptions& options)
      : fabric_(fabric), routers_(std::move(routers)), options_(options) {}

  [[nodiscard]] Result<std::string> frame() {
    if (before_.empty()) {
      auto first = sample_traffic(fabric_);
      if (!first) return std::unexpected(first.error());
      before_ = std::move(*first);
      std::this_thread::sleep_for(std::min(kFirstLook, options_.interval));
    }
    auto now = sample_traffic(fabric_);
    if (!now) return std::unexpected(now.error());
    if (now->empty()) return fail(Code::kFailed, "no router can be read any more: 'warden devices' says how cards are");
    const TrafficRates rates = rates_between(before_, *now);
    before_ = std::move(*now);
    return options_.as_json ? json(rates) : table(rates);
  }

 private:
  [[nodiscard]] Totals totals_of(const TrafficRates& rates) const {
    Totals totals;
    for (const fabric::Router* router : routers_) {
      const auto rate = rates.find(router->id);
      if (rate == rates.end()) continue;
      totals.words_per_second += rate->second.words_per_second;
      totals.packets_per_second += rate->second.packets_per_second;
    }
    return totals;
  }

  // With the time it was taken, so that a look at a still picture tells that it is alive.
  [[nodiscard]] std::string table(const TrafficRates& rates) const {
    std::vector<std::vector<std::string>> rows = {
        {"ROUTER", "DIRECTION", "PEER", "STATE", "WORDS/S", "PACKETS/S", "BUSY"}};
    for (const fabric::Router* router : routers_) {
      const auto state = fabric_.state(*router);
      const auto rate = rates.find(router->id);
      const bool known = rate != rates.end();
      rows.push_back({to_string(router->id), fabric::direction_name(router->direction), to_string(router->peer),
                      state ? fabric::router_state_name(*state) : "unreadable",
                      known ? format_rate(rate->second.words_per_second) : "-",
                      known ? format_rate(rate->second.packets_per_second) : "-",
                      known ? fmt::format("{:.0f} %", rate->second.busy * 100) : "-"});
    }
    const Totals totals = totals_of(rates);
    const std::string heading =
        fmt::format("{:%H:%M:%S}  every {}", fmt::localtime(std::time(nullptr)), format_duration(options_.interval));
    return fmt::format("{}\n\n{}\ntotal: {} words/s, {} packets/s\n", coloured(stdout, Colour::kFaint, heading),
                       format_table(rows), format_rate(totals.words_per_second),
                       format_rate(totals.packets_per_second));
  }

  [[nodiscard]] std::string json(const TrafficRates& rates) const {
    Json routers = Json::array();
    for (const fabric::Router* router : routers_) {
      const auto rate = rates.find(router->id);
      if (rate == rates.end()) continue;
      Json entry = json_of(router->id);
      entry["peer"] = json_of(router->peer);
      entry["words_per_second"] = rate->second.words_per_second;
      entry["packets_per_second"] = rate->second.packets_per_second;
      entry["busy"] = rate->second.busy;
      routers.push_back(std::move(entry));
    }
    const Totals totals = totals_of(rates);
    return json_text({{"routers", std::move(routers)},
                      {"words_per_second", totals.words_per_second},
                      {"packets_per_second", totals.packets_per_second}});
  }

  const fabric::ControlPlane& fabric_;
  fabric::RouterList routers_;
  const WatchOptions& options_;
  TrafficSamples before_;
};

int watch(const Context& context, const WatchOptions& options) {
  auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto selection = make_selection(options.selection, places_of(*fabric));
  if (!selection) return report(selection.error());
  auto routers = fabric->select(*selection);
  if (!routers) return report(routers.error());
  Watch view(*fabric, std::move(*routers), options);
  return run_live_view([&view] { return view.frame(); }, std::max(options.interval, kShortestInterval));
}

void add_options(CLI::App& command, WatchOptions& options) {
  add_selection_options(command, options.selection);
  add_duration_option(command, "--interval", options.interval, "How often");
  command.add_flag("--json", options.as_json, "Print JSON, an object a line");
}

}  // namespace

void add_traffic_watch(CLI::App& traffic, Context& context) {
  CLI::App* command = traffic.add_subcommand("watch", "Show what every link carries, until Ctrl-C");
  command->footer(
      "Words are of 16 bytes. BUSY is how much of its time a router has something to send.\n\n"
      "Examples:\n"
      "  warden fabric traffic watch\n"
      "  warden fabric traffic watch --device 0,0 --interval 200ms\n"
      "  warden fabric traffic watch --json | jq .words_per_second");
  auto options = std::make_shared<WatchOptions>();
  add_options(*command, *options);
  add_options(traffic, *options);
  const auto run = [&context, options] { return watch(context, *options); };
  command->callback([&context, run] { context.run = run; });
  traffic.callback([&context, &traffic, run] {
    if (traffic.get_subcommands().empty()) context.run = run;
  });
}

}  // namespace warden::cli
