// SPDX-License-Identifier: Apache-2.0
// Reports as files named report-ID.json.
#include "tools/wardend/report_store.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/wardend/files.h"

namespace warden::daemon {

namespace {
constexpr std::string_view kPrefix = "report-";
}

ReportStore::ReportStore(std::string state_directory) : directory_(std::move(state_directory)) { load(); }

void ReportStore::load() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(".json")) continue;
    const Result<std::string> text = read_file(entry.path().string());
    const auto json = nlohmann::json::parse(text ? *text : std::string(), nullptr, false);
    Result<ResetRecord> record = record_from_json(json);
    if (record) {
      records_.insert_or_assign(record->id, std::move(*record));
    } else {
      spdlog::warn("{} is passed over: {}", name, record.error().message);
    }
  }
  forget_oldest();
}

Status ReportStore::store(const ResetRecord& record) {
  const std::scoped_lock lock(mutex_);
  records_.insert_or_assign(record.id, record);
  forget_oldest();
  const std::string text = to_json(record).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const Result<UniqueFd> file = replace_file(path_of(record.id), text);
  return file ? Status{} : std::unexpected(file.error());
}

std::optional<ResetRecord> ReportStore::find(std::uint64_t reset_id) const {
  const std::scoped_lock lock(mutex_);
  const auto found = records_.find(reset_id);
  return found == records_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint64_t> ReportStore::id_of_token(std::uint64_t token) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, record] : records_) {
    if (record.token == token) return id;
  }
  return std::nullopt;
}

std::uint64_t ReportStore::newest_id() const {
  const std::scoped_lock lock(mutex_);
  return records_.empty() ? 0 : records_.rbegin()->first;
}

void ReportStore::forget_oldest() {
  while (records_.size() > kStoredReports) {
    ::unlink(path_of(records_.begin()->first).c_str());
    records_.erase(records_.begin());
  }
}

std::string ReportStore::path_of(std::uint64_t reset_id) const {
  return directory_ + "/" + std::string(kPrefix) + std::to_string(reset_id) + ".json";
}

}  // namespace warden::daemon
