// SPDX-License-Identifier: Apache-2.0
// What the control socket understands: a line of JSON asks, a line of JSON answers.
//
//   {"command":"stats"}                                  {"ok":true,"chips":[{"chip":0,"bar_accesses":12,...}]}
//   {"command":"status"}                                 {"ok":true,"chips":[{"chip":0,"state":"running",...}]}
//   {"command":"fault","chip":0,"name":"arc-hung"}       {"ok":true}
//   {"command":"reset-duration","chip":0,"ms":200}       {"ok":true}
//   {"command":"link-reset","chip":0}                    {"ok":true}    begun; "status" tells when it is over
//   {"command":"board-reset","chip":0}                   {"ok":true}    likewise
//   {"command":"interrupt","chip":0}                     {"ok":true}
//   {"command":"want-back","chip":0}                     {"ok":true}    "bus-error" likewise
//   {"command":"unplug","chip":0,"channel":3}            {"ok":true}    "plug" likewise
//   {"command":"digest"}                                 {"ok":true,"chips":[{"chip":0,"memory":"f3..","counters":..}]}
//   {"command":"step","us":20}                           {"ok":true,"now_us":3600000020}    in deterministic mode
//   {"command":"hang","chip":0,"tile":"e3"}              {"ok":true}    "thaw" likewise
//
// Without "chip" all of them are meant. A refusal is {"ok":false,"error":"..."}.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tools/sim/chip_server.h"
#include "tools/sim/lockstep.h"

namespace warden::sim {

inline constexpr std::uint64_t kStepMaxUs = 1'000'000;  // at once: nobody else is answered meanwhile

// The answer, without its line end. Any line is answered, however wrong. `lockstep`: only in deterministic mode.
[[nodiscard]] std::string answer_control(std::string_view line, std::span<const std::unique_ptr<ChipServer>> chips,
                                         Lockstep* lockstep);

}  // namespace warden::sim
