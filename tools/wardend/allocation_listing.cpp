// SPDX-License-Identifier: Apache-2.0
// One table of sums for every kind of client, and its JSON.
#include "tools/wardend/allocation_listing.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace warden::daemon {
namespace {

using nlohmann::json;

constexpr std::array<const char*, shm::kAllocationKinds> kKindNames = {"dram",  "l1", "system_memory", "l1_small",
                                                                       "trace", "cb", "kernel"};
constexpr std::array<const char*, shm::kKernelKinds> kKernelNames = {"application", "fabric", "dispatch"};

using KindSums = std::array<shm::AllocationSum, shm::kAllocationKinds>;

void add(shm::AllocationSum& sum, const shm::AllocationSum& more) {
  sum.count += more.count;
  sum.bytes += more.bytes;
}

// Sums by device and kind, of one process or of all.
struct Sums {
  std::map<std::int32_t, KindSums> devices;

  [[nodiscard]] shm::AllocationSum all() const {
    shm::AllocationSum sum;
    for (const auto& [device, kinds] : devices) {
      for (const auto& kind : kinds) add(sum, kind);
    }
    return sum;
  }
  void operator+=(const Sums& other) {
    for (const auto& [device, kinds] : other.devices) {
      for (std::size_t kind = 0; kind < kinds.size(); ++kind) add(devices[device].at(kind), kinds.at(kind));
    }
  }
};

json sum_json(const shm::AllocationSum& sum) { return {{"records", sum.count}, {"bytes", sum.bytes}}; }

class Listing {
 public:
  Listing(const AllocationSources& sources, const AllocationQuery& query)
      : reaper_(sources.reaper),
        sessions_(sources.sessions.all()),
        query_(query),
        room_(query.max_records),
        now_ns_(shm::boottime_ns()) {
    for (std::uint32_t index = 0; index < sources.devices.count(); ++index) {
      device_names_.push_back(sources.devices.at(index).name());
    }
    if (sources.clients == nullptr) return;
    for (const auto& [id, client] : sources.clients->all()) add_client(client);
  }

  [[nodiscard]] std::string text() {
    json bridged = std::exchange(processes_, json::array());
    for (const auto& session : sessions_) add_session(*session);
    for (json& process : bridged) processes_.push_back(std::move(process));
    json listing = sum_json(total_.all());
    listing["time_ns"] = now_ns_;
    listing["truncated"] = truncated_;
    listing["devices"] = devices_json(total_);
    listing["processes"] = std::move(processes_);
    return listing.dump(-1, ' ', false, json::error_handler_t::replace);
  }

 private:
  [[nodiscard]] bool wants_device(std::int32_t device) const {
    return !query_.device || static_cast<std::int32_t>(*query_.device) == device;
  }
  [[nodiscard]] bool wants_pid(int pid) const { return query_.pid == 0 || query_.pid == pid; }

  [[nodiscard]] std::string device_name(std::int32_t device) const {
    const auto index = static_cast<std::uint32_t>(device);
    return index < device_names_.size() ? device_names_[index] : std::string();
  }

  [[nodiscard]] json devices_json(const Sums& sums) const {
    json list = json::array();
    for (const auto& [device, kinds] : sums.devices) {
      shm::AllocationSum sum;
      json by_kind = json::object();
      for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
        add(sum, kinds.at(kind));
        if (kinds.at(kind).count != 0) by_kind[kKindNames.at(kind)] = sum_json(kinds.at(kind));
      }
      if (sum.count == 0) continue;
      json entry = sum_json(sum);
      entry["device"] = device;
      entry["name"] = device_name(device);
      entry["kinds"] = std::move(by_kind);
      list.push_back(std::move(entry));
    }
    return list;
  }

  // One more record, when it is asked for and there is room for it.
  void add_record(json& records, json record) {
    if (room_ == 0) {
      truncated_ = true;
      return;
    }
    --room_;
    records.push_back(std::move(record));
  }

  void add_process(json process, const Sums& sums, json records) {
    total_ += sums;
    process.update(sum_json(sums.all()));
    process["devices"] = devices_json(sums);
    if (query_.max_records != 0) process["allocations"] = std::move(records);
    processes_.push_back(std::move(process));
  }

  void add_session(const Session& session) {
    const SessionIdentity& who = session.identity;
    if (!wants_pid(who.pid) || reaper_.is_void(session)) return;
    const auto totals = session.ledger.allocations().totals();
    if (!totals) return;
    Sums sums;
    for (std::uint32_t device = 0; device < shm::kDeviceCapacity; ++device) {
      const auto index = static_cast<std::int32_t>(device);
      if (wants_device(index) && totals->of_device(device).count != 0) sums.devices[index] = totals->cells.at(device);
    }
    if (sums.devices.empty() && totals->dropped == 0) return;
    add_process({{"source", "session"},
                 {"id", who.id},
                 {"pid", who.pid},
                 {"pid_in_namespace", who.own_pid},
                 {"name", who.name},
                 {"uid", who.user_id},
                 {"dropped", totals->dropped},
                 {"settled", totals->settled},
                 {"damaged", totals->damaged}},
                sums, session_records(session));
  }

  [[nodiscard]] json session_records(const Session& session) {
    json records = json::array();
    if (query_.max_records == 0) return records;
    const auto min_age_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(query_.min_age).count());
    const auto visit = [&](const shm::Allocation& one) {
      if (!wants_device(static_cast<std::int32_t>(one.device))) return;
      const std::uint64_t age_ns = now_ns_ - std::min(now_ns_, one.time_ns);
      if (age_ns < min_age_ns) return;
      json record = {{"device", one.device},    {"kind", kKindNames.at(static_cast<std::size_t>(one.kind))},
                     {"thread", one.thread_id}, {"address", one.address},
                     {"bytes", one.size_bytes}, {"tag", one.tag},
                     {"time_ns", one.time_ns},  {"age_ns", age_ns},
                     {"label", one.label()}};
      if (one.kind == shm::AllocationKind::kKernel) {
        record["kernel"] = kKernelNames.at(static_cast<std::size_t>(one.kernel_kind));
      }
      add_record(records, std::move(record));
    };
    // Records that could not be read are missing here and counted in the sums.
    (void)session.ledger.allocations().for_each_live(visit);
    return records;
  }

  void add_client(const AllocationClient& client) {
    if (!wants_pid(client.shown_pid())) return;
    Sums sums;
    json records = json::array();
    std::uint32_t place = 0;
    while (const auto one = client.book.next(place)) {
      if (!wants_device(one->device)) continue;
      add(sums.devices[one->device].at(one->kind), {1, one->bytes()});
      if (query_.max_records != 0) add_record(records, client_record(*one));
    }
    if (sums.devices.empty()) return;
    add_process({{"source", "bridge"},
                 {"id", client.id},
                 {"pid", client.shown_pid()},
                 {"pid_in_namespace", client.reported_pid},
                 {"name", client.name},
                 {"uid", client.user_id},
                 {"dropped", client.refused},
                 {"settled", true},
                 {"damaged", false}},
                sums, std::move(records));
  }

  [[nodiscard]] static json client_record(const AllocationRecord& one) {
    json record = {{"device", one.device},     {"kind", kKindNames.at(one.kind)},
                   {"address", one.buffer_id}, {"bytes", one.bytes()},
                   {"tag", one.buffer_id},     {"time_ns", one.timestamp}};
    if (one.kind == static_cast<std::uint8_t>(AllocationKind::kKernel) && one.kernel_type < kKernelNames.size()) {
      record["kernel"] = kKernelNames.at(one.kernel_type);
    }
    return record;
  }

  const Reaper& reaper_;
  std::vector<std::string> device_names_;
  std::vector<std::shared_ptr<Session>> sessions_;
  const AllocationQuery query_;
  std::uint32_t room_;
  const std::uint64_t now_ns_;
  Sums total_;
  json processes_ = json::array();
  bool truncated_ = false;
};

}  // namespace

std::function<std::string()> allocations_listing(const AllocationSources& sources, const AllocationQuery& query) {
  return [listing = std::make_shared<Listing>(sources, query)] { return listing->text(); };
}

shm::AllocationSum sum_of_allocations(const AllocationSources& sources) {
  shm::AllocationSum sum;
  for (const auto& session : sources.sessions.all()) {
    if (sources.reaper.is_void(*session)) continue;
    if (const auto totals = session->ledger.allocations().totals()) add(sum, totals->all());
  }
  if (sources.clients == nullptr) return sum;
  for (const auto& [id, client] : sources.clients->all()) {
    add(sum, {client.book.sums().records, client.book.sums().bytes});
  }
  return sum;
}

}  // namespace warden::daemon
