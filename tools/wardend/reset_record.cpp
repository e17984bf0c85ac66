// SPDX-License-Identifier: Apache-2.0
// The record of a reset as JSON, whole for the journal and public for the report.
#include "tools/wardend/reset_record.h"

#include <array>
#include <nlohmann/json.hpp>

namespace warden::daemon {

namespace {

using nlohmann::json;

constexpr std::array kOutcomes = {Outcome::kPending, Outcome::kAcknowledged, Outcome::kNotified, Outcome::kTimedOut,
                                  Outcome::kDied};
constexpr std::array kPhases = {shm::ResetPhase::kIdle, shm::ResetPhase::kAnnounced, shm::ResetPhase::kQuiesced,
                                shm::ResetPhase::kResetting, shm::ResetPhase::kVerified};
constexpr std::array kResults = {shm::ResetResult::kNone, shm::ResetResult::kOk, shm::ResetResult::kFailed,
                                 shm::ResetResult::kRefused, shm::ResetResult::kAborted};

// Throws like the JSON library's own accessors do: record_from_json() catches both.
template <typename Values>
typename Values::value_type value_named(const Values& values, const std::string& name) {
  for (const auto value : values) {
    if (to_string(value) == name) return value;
  }
  throw std::invalid_argument("no such word: " + name);
}

json listeners_json(const std::vector<ListenerRecord>& listeners) {
  json list = json::array();
  for (const ListenerRecord& listener : listeners) {
    list.push_back({{"pid", listener.pid},
                    {"name", listener.name},
                    {"session", listener.session_id},
                    {"outcome", to_string(listener.outcome)},
                    {"extended", listener.extended_ms},
                    {"us", listener.duration_us}});
  }
  return list;
}

json phases_json(const std::vector<PhaseRecord>& phases) {
  json list = json::array();
  for (const PhaseRecord& phase : phases) list.push_back({{"name", to_string(phase.phase)}, {"us", phase.duration_us}});
  return list;
}

json evidence_json(const std::vector<EvidenceRecord>& evidence) {
  json list = json::array();
  for (const EvidenceRecord& piece : evidence) {
    list.push_back({{"device", piece.device},
                    {"name", piece.name},
                    {"before", piece.before},
                    {"after", piece.after},
                    {"passed", piece.passed}});
  }
  return list;
}

json fabric_json(const FabricRecord& fabric) {
  return {{"routers_paused", fabric.routers_paused},
          {"routes_held", fabric.routes_held},
          {"packets_delayed", fabric.packets_delayed},
          {"packets_lost", fabric.packets_lost},
          {"restored", fabric.restored},
          {"complaint", fabric.complaint}};
}

FabricRecord fabric_of(const json& source) {
  return {.routers_paused = source.at("routers_paused"),
          .routes_held = source.at("routes_held"),
          .packets_delayed = source.at("packets_delayed"),
          .packets_lost = source.at("packets_lost"),
          .restored = source.at("restored"),
          .complaint = source.at("complaint")};
}

std::vector<ResetDevice> devices_of(const json& list) {
  std::vector<ResetDevice> devices;
  for (const json& item : list) devices.push_back({item.at("index"), item.at("name"), item.at("epoch")});
  return devices;
}

std::vector<ListenerRecord> listeners_of(const json& list) {
  std::vector<ListenerRecord> listeners;
  for (const json& item : list) {
    listeners.push_back({item.at("session"), item.at("pid"), item.at("name"),
                         value_named(kOutcomes, item.at("outcome")), item.at("extended"), item.at("us")});
  }
  return listeners;
}

std::vector<PhaseRecord> phases_of(const json& list) {
  std::vector<PhaseRecord> phases;
  for (const json& item : list) phases.push_back({value_named(kPhases, item.at("name")), item.at("us")});
  return phases;
}

std::vector<EvidenceRecord> evidence_of(const json& list) {
  std::vector<EvidenceRecord> evidence;
  for (const json& item : list) {
    evidence.push_back({item.at("device"), item.at("name"), item.at("before"), item.at("after"), item.at("passed")});
  }
  return evidence;
}

ResetRecord parse(const json& source) {
  ResetRecord record;
  record.id = source.at("id");
  record.token = source.at("token");
  record.devices = devices_of(source.at("devices"));
  record.cause = source.at("cause");
  record.timeout = std::chrono::milliseconds(source.at("timeout_ms").get<std::uint32_t>());
  record.extension_cap = std::chrono::milliseconds(source.at("extension_cap_ms").get<std::uint32_t>());
  record.on_timeout = static_cast<shm::TimeoutPolicy>(source.at("on_timeout").get<std::uint32_t>());
  record.external = source.at("external");
  record.phase = value_named(kPhases, source.at("phase"));
  record.announced_ns = source.at("announced_ns");
  record.deadline_ns = source.at("deadline_ns");
  record.extended_ms = source.at("extended_ms");
  record.listeners = listeners_of(source.at("listeners"));
  record.phases = phases_of(source.at("phases"));
  record.evidence = evidence_of(source.at("evidence"));
  if (source.contains("fabric")) record.fabric = fabric_of(source["fabric"]);
  record.result = value_named(kResults, source.at("result"));
  record.reason = source.at("reason");
  return record;
}

}  // namespace

std::string_view to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kPending: return "pending";
    case Outcome::kAcknowledged: return "acknowledged";
    case Outcome::kNotified: return "notified";
    case Outcome::kTimedOut: return "timed_out";
    case Outcome::kDied: return "died";
  }
  return "unknown";
}

std::string_view to_string(shm::ResetPhase phase) noexcept {
  switch (phase) {
    case shm::ResetPhase::kIdle: return "idle";
    case shm::ResetPhase::kAnnounced: return "announced";
    case shm::ResetPhase::kQuiesced: return "quiesced";
    case shm::ResetPhase::kResetting: return "resetting";
    case shm::ResetPhase::kVerified: return "verified";
  }
  return "unknown";
}

std::string_view to_string(shm::ResetResult result) noexcept {
  switch (result) {
    case shm::ResetResult::kNone: return "none";
    case shm::ResetResult::kOk: return "ok";
    case shm::ResetResult::kFailed: return "failed";
    case shm::ResetResult::kRefused: return "refused";
    case shm::ResetResult::kAborted: return "aborted";
  }
  return "unknown";
}

std::uint64_t ResetRecord::device_mask() const noexcept {
  std::uint64_t mask = 0;
  for (const ResetDevice& device : devices) mask |= std::uint64_t{1} << device.index;
  return mask;
}

json to_json(const ResetRecord& record) {
  json devices = json::array();
  for (const ResetDevice& device : record.devices) {
    devices.push_back({{"index", device.index}, {"name", device.name}, {"epoch", device.epoch}});
  }
  json whole = {{"id", record.id},
                {"token", record.token},
                {"devices", std::move(devices)},
                {"cause", record.cause},
                {"timeout_ms", record.timeout.count()},
                {"extension_cap_ms", record.extension_cap.count()},
                {"on_timeout", static_cast<std::uint32_t>(record.on_timeout)},
                {"external", record.external},
                {"phase", to_string(record.phase)},
                {"announced_ns", record.announced_ns},
                {"deadline_ns", record.deadline_ns},
                {"extended_ms", record.extended_ms},
                {"listeners", listeners_json(record.listeners)},
                {"phases", phases_json(record.phases)},
                {"evidence", evidence_json(record.evidence)},
                {"result", to_string(record.result)},
                {"reason", record.reason}};
  if (record.fabric) whole["fabric"] = fabric_json(*record.fabric);
  return whole;
}

Result<ResetRecord> record_from_json(const json& source) {
  try {
    return parse(source);
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, std::string("record of a reset: ") + error.what());
  }
}

json report_json(const ResetRecord& record) {
  json devices = json::array();
  for (const ResetDevice& device : record.devices) devices.push_back(device.name);
  json report = {{"id", record.id},
                 {"result", to_string(record.result)},
                 {"reason", record.reason},
                 {"devices", std::move(devices)},
                 {"phases", phases_json(record.phases)},
                 {"listeners", listeners_json(record.listeners)},
                 {"evidence", evidence_json(record.evidence)}};
  if (record.fabric) report["fabric"] = fabric_json(*record.fabric);
  return report;
}

}  // namespace warden::daemon
