// SPDX-License-Identifier: Apache-2.0
// The list, and how the keeper keeps it: one name an entry.
#include "tools/wardend/quarantine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace warden::daemon {

namespace {

using nlohmann::json;
constexpr std::string_view kPrefix = "quarantine/";

std::string keeper_name(const Quarantine::Key& key) { return fmt::format("{}{}/{}", kPrefix, key.first, key.second); }

}  // namespace

void Quarantine::restore(const KeptTable& kept) {
  for (const auto& [name, entry] : kept) {
    if (!name.starts_with(kPrefix)) continue;
    try {
      const json blob = json::parse(entry.blob);
      entries_[{blob.at("device"), blob.at("session")}] = {blob.at("pid"), blob.at("name"), blob.at("reason"),
                                                           blob.at("epoch")};
    } catch (const std::exception& error) {
      spdlog::error("{} is lost: {}", name, error.what());
      (void)keeper_.drop(name);  // fails only when the keeper is gone, and we with it
    }
  }
}

void Quarantine::add(std::uint32_t device, std::uint64_t session_id, QuarantineEntry entry) {
  const Key key{device, session_id};
  const json blob = {{"device", device},   {"session", session_id},  {"pid", entry.pid},
                     {"name", entry.name}, {"reason", entry.reason}, {"epoch", entry.epoch}};
  (void)keeper_.keep(keeper_name(key), blob.dump(-1, ' ', false, json::error_handler_t::replace));
  entries_.insert_or_assign(key, std::move(entry));
}

std::size_t Quarantine::lift(std::uint32_t device, std::uint64_t epoch) {
  return std::erase_if(entries_, [&](const auto& item) {
    const auto& [key, entry] = item;
    if (key.first != device || entry.epoch == epoch) return false;
    (void)keeper_.drop(keeper_name(key));
    return true;
  });
}

}  // namespace warden::daemon
