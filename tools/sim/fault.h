// SPDX-License-Identifier: Apache-2.0
// The ways a simulated card can be broken on demand, by name.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace warden::sim {

enum class Fault : std::uint8_t {
  kNone,
  kArcHung,       // firmware takes no message, its heartbeat stands still
  kOffBus,        // every read gives all ones, every write is lost
  kResetHangs,    // a reset by ARC message begins and never ends
  kResetIgnored,  // a reset message is answered, and nothing happens
  kNocStuck,      // a tile whose cores have run has a request on the NoC that is never answered
  kTrainingFails  // its Ethernet links fail to train; those that are up stay so
};

inline constexpr std::array<std::string_view, 7> kFaultNames = {
    "none", "arc-hung", "off-bus", "reset-hangs", "reset-ignored", "noc-stuck", "training-fails"};

[[nodiscard]] constexpr std::string_view to_string(Fault fault) noexcept {
  return kFaultNames[static_cast<std::size_t>(fault)];
}

[[nodiscard]] constexpr std::optional<Fault> fault_by_name(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kFaultNames.size(); ++i) {
    if (kFaultNames[i] == name) return static_cast<Fault>(i);
  }
  return std::nullopt;
}

}  // namespace warden::sim
