// SPDX-License-Identifier: Apache-2.0
// See listing.h. The JSON comes from another process: its shape is checked, its text made printable.
#include "tools/warden/listing.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/warden/command.h"
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
    for (const Column& column : columns) {
      const bool known = row.is_object() && row.contains(column.key);
      const std::string cell = known ? cell_of(row[column.key]) : "-";
      cells.push_back(cell == "-" ? cell : cell + column.unit);
    }
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
