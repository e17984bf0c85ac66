// SPDX-License-Identifier: Apache-2.0
// See fabric_attach.h.
#include "tools/warden/fabric_attach.h"

#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/device_card.h"
#include "tools/warden/terminal.h"

namespace warden::cli {

void print_remarks(const std::vector<std::string>& remarks) {
  for (const std::string& remark : remarks) fmt::print(stderr, "warden: {}\n", printable(remark));
}

Result<fabric::ControlPlane> open_fabric(const Context& context) {
  const auto session = attach(context);
  if (!session) return std::unexpected(session.error());
  auto cards = open_cards(*session);
  if (!cards) return std::unexpected(std::move(cards).error());
  fabric::ControlPlane fabric(std::move(*cards));
  fabric.set_log([](std::string_view line) { print_remarks({std::string(line)}); });
  return fabric;
}

Result<fabric::ControlPlane> attach_fabric(const Context& context) {
  auto fabric = open_fabric(context);
  if (!fabric) return fabric;
  if (const auto attached = fabric->attach(); !attached) {
    if (attached.error().code != Code::kNotFound) return std::unexpected(attached.error());
    return fail(Code::kNotFound, attached.error().message + " with 'warden fabric up'");
  }
  print_remarks(fabric->remarks());
  return fabric;
}

}  // namespace warden::cli
