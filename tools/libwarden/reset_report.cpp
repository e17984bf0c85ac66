// SPDX-License-Identifier: Apache-2.0
// Parsing of reset reports. Everything but id and result may be missing.
#include "tools/libwarden/reset_report.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "tools/libwarden/client.h"

namespace warden {

std::string_view to_string(ResetResult result) noexcept {
  switch (result) {
    case ResetResult::kOk: return "ok";
    case ResetResult::kFailed: return "failed";
    case ResetResult::kRefused: return "refused";
    case ResetResult::kAborted: return "aborted";
    case ResetResult::kCardLost: return "card lost";
  }
  return "unknown";
}

}  // namespace warden

namespace warden::internal {

namespace {

using Json = nlohmann::json;

Result<ResetResult> result_named(std::string_view name) {
  using enum ResetResult;
  for (const ResetResult result : {kOk, kFailed, kRefused, kAborted, kCardLost}) {
    if (to_string(result) == name) return result;
  }
  return fail(Code::kProtocol, "reset report with the unknown result '" + std::string(name) + "'");
}

ResetPhaseTime phase_of(const Json& json) {
  return {.name = json.value("name", ""), .duration_us = json.value("us", std::uint64_t{0})};
}

ListenerOutcome listener_of(const Json& json) {
  return {.pid = json.value("pid", 0),
          .name = json.value("name", ""),
          .outcome = json.value("outcome", ""),
          .extended_ms = json.value("extended", std::uint64_t{0}),
          .duration_us = json.value("us", std::uint64_t{0})};
}

ResetEvidence evidence_of(const Json& json) {
  return {.device = json.value("device", ""),
          .name = json.value("name", ""),
          .before = json.value("before", ""),
          .after = json.value("after", ""),
          .passed = json.value("passed", false)};
}

ResetFabric fabric_of(const Json& json) {
  return {.routers_paused = json.value("routers_paused", std::uint32_t{0}),
          .routes_held = json.value("routes_held", std::uint32_t{0}),
          .packets_delayed = json.value("packets_delayed", std::uint64_t{0}),
          .packets_lost = json.value("packets_lost", std::uint64_t{0}),
          .restored = json.value("restored", false),
          .complaint = json.value("complaint", "")};
}

// Throws what nlohmann throws.
Result<ResetReport> report_of(const Json& json) {
  const auto result = result_named(json.at("result").get<std::string>());
  if (!result) return std::unexpected(result.error());
  ResetReport report;
  report.result = *result;
  report.reset_id = json.at("id").get<std::uint64_t>();
  report.reason = json.value("reason", "");
  report.devices = json.value("devices", std::vector<std::string>{});
  const Json none = Json::array();
  for (const Json& phase : json.value("phases", none)) report.phases.push_back(phase_of(phase));
  for (const Json& listener : json.value("listeners", none)) report.listeners.push_back(listener_of(listener));
  for (const Json& evidence : json.value("evidence", none)) report.evidence.push_back(evidence_of(evidence));
  if (json.contains("fabric")) report.fabric = fabric_of(json["fabric"]);
  return report;
}

}  // namespace

Result<ResetReport> parse_report(const std::string& json) {
  try {
    auto report = report_of(Json::parse(json));
    if (report) report->json = json;
    return report;
  } catch (const Json::exception& error) {
    return fail(Code::kProtocol, std::string("reset report: ") + error.what());
  }
}

Result<ResetReport> request_report(Client& client, std::uint64_t reset_id) {
  const shm::ReportRequest request{.reset_id = reset_id};
  const auto reply = client.request(shm::MessageKind::kReport, bytes_of(request));
  if (!reply) return std::unexpected(reply.error());
  const auto text = text_of(reply->packet);
  if (!text) return std::unexpected(text.error());
  return parse_report(*text);
}

}  // namespace warden::internal
