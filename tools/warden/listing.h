// SPDX-License-Identifier: Apache-2.0
// A listing that wardend wrote as JSON, shown as a table or passed on.
#pragma once

#include <string>
#include <vector>

#include <warden/result.h>

namespace warden::cli {

struct Column {
  std::string heading;
  std::string key;            // of the row's JSON object, "a.b" of one within; missing or null shows as "-"
  std::string unit = {};      // put behind a number
  bool zero_is_none = false;  // 0 shows as "-"
  bool is_bytes = false;      // shows as "1.50 KB"
  bool is_age = false;        // nanoseconds; shows as "4m05s"
};

// `[{...}, ...]` as a table on stdout, or the text itself when `as_json`; "no WHAT" when there are none. Answers the
// exit status.
int print_listing(const Result<std::string>& json, const std::string& what, const std::vector<Column>& columns,
                  bool as_json);

// The table alone, for tests. kProtocol: not JSON, or not of that shape.
[[nodiscard]] Result<std::vector<std::vector<std::string>>> table_of(const std::string& json,
                                                                     const std::vector<Column>& columns);

}  // namespace warden::cli
