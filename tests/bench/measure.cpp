// SPDX-License-Identifier: Apache-2.0
// Medians, the table and the JSON file.
#include "tests/bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

namespace warden::bench {

double median(std::span<double> samples) {
  if (samples.empty()) return 0;
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

std::uint64_t now_ns() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

void gap(std::uint64_t duration_ns) noexcept {
  const timespec time{.tv_sec = static_cast<time_t>(duration_ns / 1'000'000'000),
                      .tv_nsec = static_cast<long>(duration_ns % 1'000'000'000)};
  ::nanosleep(&time, nullptr);
}

void print_table(const Entries& entries) {
  fmt::print("{:<34} {:>12} {:<5}  {:<38} {:>12} {:>8}  {}\n", "figure", "value", "unit", "baseline", "value", "ratio",
             "goal");
  for (const Entry& entry : entries) {
    fmt::print("{:<34} {:>12.4g} {:<5}  {:<38} {:>12.4g} {:>8.3g}  {}\n", entry.name, entry.value, entry.unit,
               entry.baseline, entry.baseline_value, entry.ratio(), entry.goal);
  }
  (void)std::fflush(stdout);
}

Result<Entries> read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Entries{};
  const auto list = nlohmann::json::parse(file, nullptr, false);
  if (!list.is_array()) return fail(Code::kProtocol, path + " holds no figures");
  Entries entries;
  for (const auto& each : list) {
    entries.push_back({.name = each.value("name", ""),
                       .value = each.value("value", 0.0),
                       .unit = each.value("unit", ""),
                       .baseline = each.value("baseline", ""),
                       .baseline_value = each.value("baseline_value", 0.0),
                       .goal = each.value("goal", "")});
  }
  return entries;
}

Status write_json(const Entries& entries, const std::string& path) {
  nlohmann::json list = nlohmann::json::array();
  for (const Entry& entry : entries) {
    list.push_back({{"name", entry.name},
                    {"value", entry.value},
                    {"unit", entry.unit},
                    {"baseline", entry.baseline},
                    {"baseline_value", entry.baseline_value},
                    {"ratio", entry.ratio()},
                    {"goal", entry.goal}});
  }
  std::ofstream file(path);
  file << list.dump(2) << '\n';
  file.close();
  if (!file) return fail(Code::kIo, "write " + path + ": failed; is its folder there and writable?");
  return {};
}

}  // namespace warden::bench
