// SPDX-License-Identifier: Apache-2.0
// The control commands, one function each.
#include "tools/sim/control.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include <fmt/format.h>

#include "tools/sim/tile_name.h"

namespace warden::sim {

namespace {

using nlohmann::json;

struct Request {
  const json& body;
  std::vector<std::pair<std::size_t, ChipServer*>> chips;
  Lockstep* lockstep = nullptr;
};

Result<json> stats(const Request& request) {
  json chips = json::array();
  for (const auto& [index, server] : request.chips) {
    const Stats stats = server->function().locked([](Chip& chip) { return chip.stats(); });
    json resets;
    for (std::size_t kind = 0; kind < kResetNames.size(); ++kind) resets[kResetNames[kind]] = stats.resets[kind];
    json errors;
    for (std::size_t kind = 1; kind < kAccessKinds; ++kind) {
      errors[to_string(static_cast<Access>(kind))] = stats.errors[kind];
    }
    chips.push_back({{"chip", index},
                     {"bar_accesses", stats.bar_accesses},
                     {"bar_accesses_during_reset", stats.bar_accesses_during_reset},
                     {"config_accesses", stats.config_accesses},
                     {"config_accesses_during_reset", stats.config_accesses_during_reset},
                     {"resets", resets},
                     {"errors", errors},
                     {"interrupts", stats.interrupts},
                     {"clients_refused", server->clients_refused()},
                     {"clients_dropped", server->clients_dropped()}});
  }
  return json{{"chips", chips}};
}

json describe(Chip& chip) {
  json hung = json::array();
  for (const Coordinate tile : chip.frozen_cores()) hung.push_back(name_of(tile));
  return {{"state", chip.state()},
          {"fault", to_string(chip.fault())},
          {"command", chip.command()},
          {"post_code", chip.arc().post_code()},
          {"reference_clock", chip.arc().reference_clock()},
          {"heartbeat", chip.arc().heartbeat()},
          {"memory_bytes", chip.touched_bytes()},
          {"hung_cores", hung}};
}

Result<json> status(const Request& request) {
  json chips = json::array();
  for (const auto& [index, server] : request.chips) {
    json chip = server->function().locked(describe);
    chip["chip"] = index;
    chip["socket"] = server->listener().path();
    chip["client"] = server->in_use();
    chips.push_back(std::move(chip));
  }
  return json{{"chips", chips}};
}

Result<json> fault(const Request& request) {
  const auto name = request.body.find("name");
  const auto known = name != request.body.end() && name->is_string() ? fault_by_name(name->get<std::string>())
                                                                     : std::optional<Fault>();
  if (!known) return fail(Code::kInvalidArgument, fmt::format("name one of: {}", fmt::join(kFaultNames, ", ")));
  for (const auto& [index, server] : request.chips) {
    server->function().locked([&](Chip& chip) { return chip.set_fault(*known), true; });
  }
  return json::object();
}

Result<json> reset_duration(const Request& request) {
  constexpr std::int64_t kMax = 3'600'000;
  const auto ms = request.body.find("ms");
  if (ms == request.body.end() || !ms->is_number_integer() || ms->get<std::int64_t>() < 0 ||
      ms->get<std::int64_t>() > kMax) {
    return fail(Code::kInvalidArgument, fmt::format("\"ms\" must be a number from 0 to {}", kMax));
  }
  const std::chrono::milliseconds duration(ms->get<std::int64_t>());
  for (const auto& [index, server] : request.chips) {
    server->function().locked([&](Chip& chip) { return chip.set_reset_duration(duration), true; });
  }
  return json::object();
}

template <ResetKind kind>
Result<json> begin_reset(const Request& request) {
  for (const auto& [index, server] : request.chips) {
    const bool begun = server->function().locked([](Chip& chip) { return chip.begin_reset(kind); });
    if (!begun) return fail(Code::kBusy, fmt::format("chip {} is off the bus or being reset already", index));
  }
  return json::object();
}

Result<json> interrupt(const Request& request) {
  for (const auto& [index, server] : request.chips) {
    if (!server->function().interrupt()) {
      return fail(Code::kFailed, fmt::format("the interrupt of chip {} reached nobody: no eventfd is set, the card is "
                                             "no bus master, or a reset took its MSI capability",
                                             index));
    }
  }
  return json::object();
}

template <std::uint32_t irq>
Result<json> say(const Request& request) {
  for (const auto& [index, server] : request.chips) {
    if (server->function().say(irq)) continue;
    return fail(Code::kFailed, fmt::format("nobody listens to what the kernel says of chip {}", index));
  }
  return json::object();
}

template <bool plugged>
Result<json> set_cable(const Request& request) {
  const auto channel = request.body.find("channel");
  if (channel == request.body.end() || !channel->is_number_unsigned() || channel->get<std::uint64_t>() > 15) {
    return fail(Code::kInvalidArgument, "\"channel\" must be a number from 0 to 15");
  }
  const auto number = channel->get<std::uint8_t>();
  for (const auto& [index, server] : request.chips) {
    const bool there = server->function().locked([&](Chip& chip) { return chip.set_plugged(number, plugged); });
    if (!there) return fail(Code::kNotFound, fmt::format("chip {} has no cable at E{}", index, number));
  }
  return json::object();
}

template <bool frozen>
Result<json> set_frozen(const Request& request) {
  const auto name = request.body.find("tile");
  const auto tile = name != request.body.end() && name->is_string() ? tile_by_name(name->get<std::string>())
                                                                    : std::optional<Coordinate>();
  if (!tile) return fail(Code::kInvalidArgument, "\"tile\" must be X,Y or eN, as in 1,1 or e3");
  for (const auto& [index, server] : request.chips) {
    const bool done =
        server->function().locked([&](Chip& chip) { return frozen ? chip.freeze_core(*tile) : chip.thaw_core(*tile); });
    if (!done) {
      return fail(Code::kFailed, fmt::format("the core of tile {} of chip {} {}", name_of(*tile), index,
                                             frozen ? "is held in reset, or there is none" : "does not hang"));
    }
  }
  return json::object();
}

Result<json> digest(const Request& request) {
  json chips = json::array();
  for (const auto& [index, server] : request.chips) {
    const Chip::Digests digests = server->function().locked([](Chip& chip) { return chip.digests(); });
    chips.push_back({{"chip", index},
                     {"memory", fmt::format("{:016x}", digests.memory)},
                     {"counters", fmt::format("{:016x}", digests.counters)}});
  }
  return json{{"chips", chips}};
}

Result<json> step(const Request& request) {
  const auto us = request.body.find("us");
  if (us == request.body.end() || !us->is_number_unsigned() || us->get<std::uint64_t>() > kStepMaxUs) {
    return fail(Code::kInvalidArgument, fmt::format("\"us\" must be a number from 0 to {}", kStepMaxUs));
  }
  if (request.lockstep == nullptr) {
    return fail(Code::kFailed, "time passes by itself here: start the simulator with --deterministic to make steps");
  }
  request.lockstep->pass(std::chrono::microseconds(us->get<std::uint64_t>()));
  return json{{"now_us", request.lockstep->now().time_since_epoch() / std::chrono::microseconds(1)}};
}

struct CommandRow {
  std::string_view name;
  Result<json> (*run)(const Request&);
};
constexpr CommandRow kCommands[] = {
    {"stats", stats},
    {"status", status},
    {"fault", fault},
    {"reset-duration", reset_duration},
    {"link-reset", begin_reset<ResetKind::kLink>},
    {"board-reset", begin_reset<ResetKind::kBoard>},
    {"interrupt", interrupt},
    {"want-back", say<vfio::kRequestIrq>},
    {"bus-error", say<vfio::kErrorIrq>},
    {"unplug", set_cable<false>},
    {"plug", set_cable<true>},
    {"hang", set_frozen<true>},
    {"thaw", set_frozen<false>},
    {"digest", digest},
    {"step", step},
};

Result<json> run(std::string_view line, std::span<const std::unique_ptr<ChipServer>> servers, Lockstep* lockstep) {
  const json body = json::parse(line, nullptr, false);
  if (!body.is_object()) return fail(Code::kInvalidArgument, "a request is one JSON object in one line");
  const auto name = body.find("command");
  if (name == body.end() || !name->is_string()) return fail(Code::kInvalidArgument, "\"command\" is missing");
  const auto* row = std::ranges::find(kCommands, name->get<std::string>(), &CommandRow::name);
  if (row == std::end(kCommands)) {
    return fail(Code::kInvalidArgument, fmt::format("no command '{}'", name->get<std::string>()));
  }
  Request request{.body = body, .chips = {}, .lockstep = lockstep};
  if (const auto chip = body.find("chip"); chip != body.end()) {
    if (!chip->is_number_unsigned() || chip->get<std::uint64_t>() >= servers.size()) {
      return fail(Code::kInvalidArgument, fmt::format("chips here are 0 to {}", servers.size() - 1));
    }
    const auto index = chip->get<std::size_t>();
    request.chips.emplace_back(index, servers[index].get());
  } else {
    for (std::size_t i = 0; i < servers.size(); ++i) request.chips.emplace_back(i, servers[i].get());
  }
  return row->run(request);
}

}  // namespace

std::string answer_control(std::string_view line, std::span<const std::unique_ptr<ChipServer>> chips,
                           Lockstep* lockstep) {
  Result<json> result = run(line, chips, lockstep);
  json answer = result ? std::move(*result) : json{{"error", result.error().message}};
  answer["ok"] = result.has_value();
  return answer.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace warden::sim
