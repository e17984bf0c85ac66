// SPDX-License-Identifier: Apache-2.0
// Clients that say what shall be done to the card when they die, and what is found on it afterwards.
#pragma once

#include <fmt/format.h>
#include <warden/death_actions.h>
#include <warden/device.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "tests/fault/reaping_victim.h"

namespace warden::test {

inline constexpr Tile kWorkTile{1, 1};
inline constexpr CardAddress kSoftResetRegister{0xFFB121B0};
inline constexpr std::uint32_t kAllHeld = 0x47800;
inline constexpr std::uint32_t kBriscRuns = 0x47000;

// A session with a card open; keeps both.
struct Registrar {
  std::shared_ptr<Session> session;
  std::optional<Device> device;
  std::unique_ptr<DeathActions> actions;

  [[nodiscard]] bool open(const std::string& socket, std::string_view device_name = "0") {
    auto attached = Session::attach({.socket_path = socket, .name = "victim"});
    if (!attached) return false;
    session = *attached;
    auto opened = Device::open(session, device_name);
    auto opened_actions = DeathActions::open(session);
    if (!opened || !opened_actions) return false;
    device.emplace(std::move(*opened));
    actions = std::move(*opened_actions);
    return true;
  }
  [[nodiscard]] bool on_death(std::uint64_t address, std::uint32_t value) const {
    return actions->write32(*device, kWorkTile, {address}, value).has_value();
  }
};

// In a victim: lives as long as the process.
inline Registrar& registrar_of_process() {
  static auto* const kRegistrar = new Registrar;
  return *kRegistrar;
}

// What an onlooker sees of card 0, opened anew each time: resets go on meanwhile.
inline std::uint32_t word_at(const std::shared_ptr<Session>& session, std::uint64_t address, Tile tile = kWorkTile) {
  auto device = Device::open(session, "0");
  EXPECT_TRUE(device) << device.error().message;
  if (!device) return ~0U;
  const auto word = device->read32(tile, {address});
  EXPECT_TRUE(word) << word.error().message;
  return word.value_or(~0U);
}

inline bool has_session_of(Session& onlooker, pid_t pid) {
  const auto list = nlohmann::json::parse(*onlooker.sessions_json());
  return std::ranges::any_of(list, [&](const auto& entry) { return entry["pid"] == pid; });
}

// Its session is over, and with it all that was to be done.
inline bool is_freed(Session& onlooker, pid_t pid) {
  return eventually([&] { return !has_session_of(onlooker, pid); });
}

}  // namespace warden::test
