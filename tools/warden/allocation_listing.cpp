// SPDX-License-Identifier: Apache-2.0
// See allocation_listing.h. The text comes from another process: every field is looked at before it is taken.
#include "tools/warden/allocation_listing.h"

#include <algorithm>
#include <cctype>

#include "tools/warden/json_fields.h"

namespace warden::cli {
namespace {

AllocationSum sum(const Json& object) {
  return {.records = number<std::uint64_t>(object, "records"), .bytes = number<std::uint64_t>(object, "bytes")};
}

std::string upper(std::string word) {
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return word;
}

std::vector<ListedKind> kinds_of(const Json& process) {
  std::vector<ListedKind> kinds;
  for (const Json& device : member(process, "devices")) {
    for (const auto& [kind, value] : member(device, "kinds").items()) {
      kinds.push_back({.device = number<int>(device, "device"), .kind = upper(printable(kind)), .sum = sum(value)});
    }
  }
  return kinds;
}

std::optional<std::chrono::nanoseconds> age_of(const Json& record) {
  if (!member(record, "age_ns").is_number_integer()) return std::nullopt;
  return std::chrono::nanoseconds(number<std::int64_t>(record, "age_ns"));
}

ListedRecord record_of(const Json& value) {
  ListedRecord record{.device = number<int>(value, "device"),
                      .kind = upper(text(value, "kind")),
                      .address = number<std::uint64_t>(value, "address"),
                      .bytes = number<std::uint64_t>(value, "bytes"),
                      .tag = number<std::uint64_t>(value, "tag"),
                      .age = age_of(value),
                      .thread = number<std::uint64_t>(value, "thread"),
                      .label = text(value, "label")};
  if (const std::string kernel = text(value, "kernel"); !kernel.empty()) record.kind += " (" + kernel + ")";
  return record;
}

ListedProcess process_of(const Json& value) {
  ListedProcess process{.source = text(value, "source"),
                        .pid = number<int>(value, "pid"),
                        .own_pid = number<int>(value, "pid_in_namespace"),
                        .name = text(value, "name"),
                        .sum = sum(value),
                        .dropped = number<std::uint64_t>(value, "dropped"),
                        .settled = flag(value, "settled", true),
                        .damaged = flag(value, "damaged", false),
                        .kinds = kinds_of(value),
                        .records = {}};
  for (const Json& record : member(value, "allocations")) process.records.push_back(record_of(record));
  return process;
}

Result<Json> parse_document(const std::string& json) {
  Json document = Json::parse(json, nullptr, false);
  if (member(document, "processes").is_array()) return document;
  return fail(Code::kProtocol, "wardend's listing is not understood: is it of another version?");
}

}  // namespace

Result<AllocationListing> parse_allocations(const std::string& json) {
  const Result<Json> parsed = parse_document(json);
  if (!parsed) return std::unexpected(parsed.error());
  const Json& document = *parsed;
  AllocationListing listing;
  listing.sum = sum(document);
  listing.truncated = flag(document, "truncated", false);
  for (const Json& device : member(document, "devices")) {
    listing.devices.push_back(
        {.device = number<int>(device, "device"), .name = text(device, "name"), .sum = sum(device)});
  }
  for (const Json& process : member(document, "processes")) listing.processes.push_back(process_of(process));
  return listing;
}

AllocationListing older_than(AllocationListing listing, std::chrono::nanoseconds age) {
  listing.sum = {};
  for (ListedProcess& process : listing.processes) {
    listing.ageless += static_cast<std::uint64_t>(
        std::ranges::count_if(process.records, [](const ListedRecord& record) { return !record.age; }));
    std::erase_if(process.records, [&](const ListedRecord& record) { return !record.age || *record.age < age; });
    std::ranges::stable_sort(process.records, std::ranges::greater{}, &ListedRecord::age);
    for (const ListedRecord& record : process.records) {
      ++listing.sum.records;
      listing.sum.bytes += record.bytes;
    }
  }
  std::erase_if(listing.processes, [](const ListedProcess& process) { return process.records.empty(); });
  return listing;
}

Result<std::string> leaks_json(const std::string& json, std::chrono::nanoseconds age) {
  const Result<Json> document = parse_document(json);
  if (!document) return std::unexpected(document.error());
  Json leaks = Json::array();
  AllocationSum all;
  std::uint64_t ageless = 0;
  for (const Json& process : member(*document, "processes")) {
    for (const Json& record : member(process, "allocations")) {
      const auto its_age = age_of(record);
      if (!its_age) ++ageless;
      if (!its_age || *its_age < age) continue;
      Json& leak = leaks.emplace_back(record);
      for (const char* key : {"source", "id", "pid", "pid_in_namespace", "name"}) leak[key] = member(process, key);
      ++all.records;
      all.bytes += number<std::uint64_t>(record, "bytes");
    }
  }
  const Json report = {{"time_ns", member(*document, "time_ns")},
                       {"older_than_ns", age.count()},
                       {"records", all.records},
                       {"bytes", all.bytes},
                       {"ageless", ageless},
                       {"truncated", flag(*document, "truncated", false)},
                       {"allocations", std::move(leaks)}};
  return report.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string allocation_server_path(const std::string& status_json) {
  const Json status = Json::parse(status_json, nullptr, false);
  return text(member(status, "allocation_server"), "path");
}

std::vector<daemon::RemainingBuffer> remaining_buffers(const AllocationListing& listing) {
  std::vector<daemon::RemainingBuffer> buffers;
  for (const ListedProcess& process : listing.processes) {
    for (const ListedKind& kind : process.kinds) {
      buffers.push_back({.pid = process.pid != 0 ? process.pid : process.own_pid,
                         .own_pid = process.own_pid,
                         .name = process.name,
                         .device = static_cast<int>(kind.device),
                         .kind = kind.kind,
                         .bytes = kind.sum.bytes,
                         .count = kind.sum.records});
    }
  }
  return buffers;
}

}  // namespace warden::cli
