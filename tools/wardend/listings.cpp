// SPDX-License-Identifier: Apache-2.0
// Who is there, and what they hold.
#include "tools/wardend/listings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shm/directory.h"

namespace warden::daemon {

namespace {

using nlohmann::json;

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json holders_of(std::uint32_t index, const Devices& devices, const SessionTable& sessions, const Broker& broker) {
  const std::uint64_t direct = devices.at(index).direct_session();
  json holders = json::array();
  for (const auto& session : sessions.all()) {
    if (((session->opened_devices.load() >> index) & 1U) == 0) continue;
    const Broker::Sum held = broker.held_by(session->identity.id, index);
    holders.push_back({{"pid", session->identity.pid},
                       {"name", session->identity.name},
                       {"session", session->identity.id},
                       {"windows", held.windows},
                       {"dma_buffers", held.buffers},
                       {"dma_bytes", held.dma_bytes},
                       {"direct", session->identity.id == direct}});
  }
  return holders;
}

json device_entry(std::uint32_t index, const Devices& devices, const SessionTable& sessions, const Broker& broker) {
  const DeviceView view = devices.at(index).view();
  json entry = {{"index", index},
                {"name", view.name},
                {"chip", view.chip},
                {"board", view.board},
                {"state", to_string(view.state)},
                {"reason", view.reason},
                {"epoch", view.epoch},
                {"harvested_rows", view.harvested_rows},
                {"holders", holders_of(index, devices, sessions, broker)}};
  // Absent telemetry is null, never a number that looks measured.
  const auto& telemetry = view.telemetry;
  entry["temperature"] = telemetry ? json(telemetry->asic_temperature_celsius) : json();
  entry["aiclk"] = telemetry ? json(telemetry->aiclk_mhz) : json();
  entry["axiclk"] = telemetry ? json(telemetry->axiclk_mhz) : json();
  entry["arcclk"] = telemetry ? json(telemetry->arcclk_mhz) : json();
  entry["heartbeat"] = telemetry ? json(telemetry->heartbeat) : json();
  return entry;
}

json names_in(std::uint64_t mask, const Devices& devices) {
  json names = json::array();
  for (std::uint32_t index = 0; index < devices.count(); ++index) {
    if (((mask >> index) & 1U) != 0) names.push_back(devices.at(index).name());
  }
  return names;
}

// What can't be read is not known to be anything.
json held_json(const Result<shm::AllocationTotals>& totals) {
  if (!totals) return {};
  const shm::AllocationSum sum = totals->all();
  return {{"records", sum.count},
          {"bytes", sum.bytes},
          {"dropped", totals->dropped},
          {"settled", totals->settled},
          {"damaged", totals->damaged}};
}

}  // namespace

std::string_view to_string(shm::DeviceState state) noexcept {
  switch (state) {
    case shm::DeviceState::kAbsent: return "absent";
    case shm::DeviceState::kReady: return "ready";
    case shm::DeviceState::kResetting: return "resetting";
    case shm::DeviceState::kFailed: return "failed";
    case shm::DeviceState::kLost: return "lost";
  }
  return "unknown";
}

std::string devices_listing(const Devices& devices, const SessionTable& sessions, const Broker& broker) {
  json list = json::array();
  for (std::uint32_t index = 0; index < devices.count(); ++index) {
    list.push_back(device_entry(index, devices, sessions, broker));
  }
  return text_of(list);
}

std::string sessions_listing(const Devices& devices, const SessionTable& sessions, const Reaper& reaper,
                             const Cleaner& cleaner) {
  const std::uint64_t now_ns = shm::boottime_ns();
  json list = json::array();
  for (const auto& session : sessions.all()) {
    const SessionIdentity& who = session->identity;
    const bool is_void = reaper.is_void(*session);
    list.push_back({{"session", who.id},
                    {"slot", who.slot},
                    {"state", cleaner.is_cleaning(who.id) ? "cleaning"
                              : is_void                   ? "dying"
                                                          : "live"},
                    {"pid", who.pid},
                    {"pid_in_namespace", who.own_pid},
                    {"attached_ns", now_ns - std::min(now_ns, who.attach_time_ns)},
                    {"age_ns", who.start_time_ns < now_ns ? now_ns - who.start_time_ns : 0},
                    {"allocations", is_void ? held_json({}) : held_json(session->ledger.allocations().totals())},
                    {"death_actions", session->ledger.death_actions().count().value_or(0)},
                    {"name", who.name},
                    {"uid", who.user_id},
                    {"operator", session->is_operator()},
                    {"listens", names_in(sessions.listens_to(*session), devices)},
                    {"devices", names_in(session->opened_devices.load(), devices)},
                    {"subject", who.subject_pid}});
  }
  return text_of(list);
}

}  // namespace warden::daemon
