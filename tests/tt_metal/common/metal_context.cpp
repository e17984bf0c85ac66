// SPDX-License-Identifier: Apache-2.0
// Cards, their chips and the fabric on them.
#include "tests/tt_metal/common/metal_context.hpp"

#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "driver/vfio/device.h"
#include "tests/tt_metal/common/log.hpp"

namespace tt::tt_metal {

namespace {

constexpr const char* kDefaultBoard = "mesh:2x2";

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> split(const std::string& names) {
  std::vector<std::string> list;
  std::istringstream stream(names);
  for (std::string name; std::getline(stream, name, ',');) list.push_back(name);
  return list;
}

template <typename T>
T value_of(warden::Result<T> result, const std::string& what) {
  if (!result) throw std::runtime_error(what + ": " + result.error().message);
  return std::move(*result);
}

}  // namespace

warden::chip::Tile distributed::MeshDevice::tile(const CoreCoord& core) const {
  return warden::fabric::working_tiles(card()).at(core.y * warden::fabric::kTensixColumns + core.x);
}

MetalContext& MetalContext::instance() {
  static MetalContext context;
  return context;
}

std::vector<std::string> MetalContext::device_names(const std::string& board) {
  const std::string named = setting("WARDEN_FABRIC_DEVICES");
  if (!named.empty()) return split(named);
  simulator_ = std::make_unique<warden::testing::Simulator>(std::vector<std::string>{"--board", board});
  std::vector<std::string> names;
  const std::size_t chips = nlohmann::json::parse(simulator_->ctl({"stats", "--json"})).at("chips").size();
  for (std::size_t chip = 0; chip < chips; ++chip) {
    names.push_back(simulator_->device_name(static_cast<int>(chip)));
  }
  return names;
}

void MetalContext::start(const std::string& board) {
  const std::string forced = setting("WARDEN_FABRIC_BOARD");
  const std::string& wanted = forced.empty() ? board : forced;
  if (fabric_ && board_ == wanted) return;
  stop();
  board_ = wanted;
  std::vector<std::unique_ptr<warden::fabric::Card>> cards;
  for (const std::string& name : device_names(wanted)) {
    chips_.push_back(value_of(warden::chip::open(value_of(warden::vfio::open(name), name)), name));
    cards.push_back(std::make_unique<warden::fabric::ChipCard>(*chips_.back()));
  }
  auto fabric = std::make_unique<tt_fabric::ControlPlane>(std::move(cards));
  fabric->set_log([](std::string_view line) { print_log_line("INFO", line); });
  const bool telemetry = setting("WARDEN_FABRIC_TELEMETRY") != "0";
  const warden::Status up = fabric->bring_up({.telemetry = telemetry});
  if (!up) throw std::runtime_error("the fabric does not come up: " + up.error().message);
  fabric_ = std::move(fabric);
}

void MetalContext::stop() {
  fabric_.reset();
  chips_.clear();
  simulator_.reset();
}

tt_fabric::ControlPlane& MetalContext::get_control_plane() {
  if (!fabric_) start(kDefaultBoard);
  return *fabric_;
}

}  // namespace tt::tt_metal
