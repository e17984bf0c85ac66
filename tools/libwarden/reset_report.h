// SPDX-License-Identifier: Apache-2.0
// wardend's report on a reset, from JSON to the public struct.
#pragma once

#include <cstdint>
#include <string>

#include <warden/reset.h>
#include <warden/result.h>

namespace warden::internal {

class Client;

// kProtocol when it is not a report.
[[nodiscard]] Result<ResetReport> parse_report(const std::string& json);

// Asks wardend for it. kBusy: that reset is still under way.
[[nodiscard]] Result<ResetReport> request_report(Client& client, std::uint64_t reset_id);

}  // namespace warden::internal
