// SPDX-License-Identifier: Apache-2.0
// See listing.h. The JSON comes from another process: its shape is checked, its text made printable.
#include "tools/warden/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/warden/command.h"
#include "tools/warden/duration.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

using Json = nlohmann::json;

std::string cell_of(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return printable(value.get<std::string>());
  if (value.is_number_float()) return fmt::format("{:.1f}", value.get<double>());
  if (value.is_object()) return value.contains("pid") ? cell_of(value["pid"]) : "-";
  if (!value.is_array()) return value.dump();
  std::string joined;
  for (const Json& item : value) joined += (joined.empty() ? "" : ",") + cell_of(item);
  return joined.empty() ? "-" : joined;
}

Json value_at(const Json& row, const std::string& key) {
  const Json* value = &row;
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t end = std::min(key.find('.', begin), key.size());
    const std::string name = key.substr(begin, end - begin);
    if (!value->is_object() || !value->contains(name)) return {};
    value = &(*value)[name];
    begin = end + 1;
  }
  return *value;
}

std::string cell_of(const Json& row, const Column& column) {
  const Json value = value_at(row, column.key);
  if (column.zero_is_none && value.is_number() && value == 0) return "-";
  if (column.is_bytes && value.is_number_unsigned()) return format_bytes(value.get<std::uint64_t>());
  if (column.is_age && value.is_number_integer()) {
    return format_age(std::chrono::nanoseconds(value.get<std::int64_t>()));
  }
  const std::string cell = cell_of(value);
  return cell == "-" ? cell : cell + column.unit;
}

}  // namespace

Result<std::vector<std::vector<std::string>>> table_of(const std::string& json, const std::vector<Column>& columns) {
  const Json listing = Json::parse(json, nullptr, false);
  if (!listing.is_array()) {
    return fail(Code::kProtocol, "wardend's listing is not understood: is it of another version?");
  }
  std::vector<std::vector<std::string>> table(1);
  for (const Column& column : columns) table.front().push_back(column.heading);
  for (const Json& row : listing) {
    std::vector<std::string>& cells = table.emplace_back();
    for (const Column& column : columns) cells.push_back(cell_of(row, column));
  }
  return table;
}

int print_listing(const Result<std::string>& json, const std::string& what, const std::vector<Column>& columns,
                  bool as_json) {
  if (!json) return report(json.error());
  if (as_json) {
    fmt::print("{}\n", *json);
    return kExitOk;
  }
  const auto table = table_of(*json, columns);
  if (!table) return report(table.error());
  if (table->size() == 1) {
    fmt::print("no {}\n", what);
  } else {
    fmt::print("{}", format_table(*table));
  }
  return kExitOk;
}

}  // namespace warden::cli
