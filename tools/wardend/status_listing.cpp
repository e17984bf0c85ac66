// SPDX-License-Identifier: Apache-2.0
// Exit watcher, processes, totals.
#include "tools/wardend/status_listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shm/peer.h"

namespace warden::daemon {
namespace {

using nlohmann::json;

json exits_json(const ExitThread& exits) {
  const ExitStatus status = exits.status();
  const bpf::Counters& counters = status.counters;
  return {{"mechanism", bpf::to_string(status.mechanism)},
          {"reason", status.reason},
          {"realtime", status.is_realtime},
          {"realtime_reason", status.realtime_reason},
          {"liveness_page", exits.liveness_fd() >= 0},
          {"marked", status.marked},
          {"last_marked_ns", status.last_marked_ns},
          {"dropped_events", counters.dropped_events},
          {"missed_runs", counters.missed_runs},
          {"rescans", counters.rescans},
          {"not_by_hook", counters.not_by_hook},
          {"unknown_to_hook", counters.unknown_to_hook},
          {"runs", counters.runs},
          {"run_time_ns", counters.run_time_ns}};
}

json quarantine_json(const Quarantine& quarantine, const Devices& devices) {
  json list = json::array();
  for (const auto& [key, entry] : quarantine.entries()) {
    list.push_back({{"device", key.first < devices.count() ? devices.at(key.first).name() : std::string()},
                    {"session", key.second},
                    {"pid", entry.pid},
                    {"name", entry.name},
                    {"reason", entry.reason}});
  }
  return list;
}

// The keeper lives as long as wardend does.
std::uint64_t uptime_ns(int keeper_pid) {
  const auto keeper = shm::identify_process(keeper_pid);
  const std::uint64_t now_ns = shm::boottime_ns();
  return keeper && keeper->start_time_ns < now_ns ? now_ns - keeper->start_time_ns : 0;
}

}  // namespace

std::string status_listing(const StatusSources& sources) {
  const shm::DirectoryHeader& head = sources.directory.header();
  const auto sessions = sources.allocations.sessions.all();
  const auto dying = std::ranges::count_if(
      sessions, [&](const auto& session) { return sources.allocations.reaper.is_void(*session); });
  const shm::AllocationSum sum = sum_of_allocations(sources.allocations);
  const json server =
      sources.server == nullptr
          ? json()
          : json({{"path", sources.server->path()}, {"clients", sources.server->clients().all().size()}});
  const json status = {{"version", WARDEN_VERSION},
                       {"instance", head.instance_id},
                       {"keeper_pid", head.keeper_pid},
                       {"worker_pid", head.worker_pid.load()},
                       {"worker_starts", head.worker_starts.load()},
                       {"uptime_ns", uptime_ns(head.keeper_pid)},
                       {"socket", sources.options.socket_path},
                       {"state_directory", sources.options.state_directory},
                       {"exit_watcher", exits_json(sources.allocations.reaper.exits())},
                       {"devices", sources.allocations.devices.count()},
                       {"sessions", sessions.size()},
                       {"dying", dying},
                       {"cleaning", sources.cleaner.cleaning_count()},
                       {"quarantine", quarantine_json(sources.cleaner.quarantine(), sources.allocations.devices)},
                       {"active_reset", head.active_reset_id.load()},
                       {"allocation_server", server},
                       {"allocations", {{"records", sum.count}, {"bytes", sum.bytes}}}};
  return status.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace warden::daemon
