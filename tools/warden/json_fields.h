// SPDX-License-Identifier: Apache-2.0
// Fields of JSON that another process wrote. What is missing, or of another type, is empty: a newer wardend may leave
// out what an older one said.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/warden/terminal.h"

namespace warden::cli {

using Json = nlohmann::json;

[[nodiscard]] inline const Json& member(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found != object.end() ? *found : kNothing;
}

template <typename Number>
[[nodiscard]] Number number(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_number_integer() ? value.get<Number>() : Number{};
}

// Made printable.
[[nodiscard]] inline std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? printable(value.get_ref<const std::string&>()) : std::string();
}

[[nodiscard]] inline bool flag(const Json& object, const char* key, bool otherwise) {
  const Json& value = member(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

}  // namespace warden::cli
