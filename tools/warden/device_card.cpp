// SPDX-License-Identifier: Apache-2.0
// See device_card.h.
#include "tools/warden/device_card.h"

#include <utility>

#include "tools/warden/json_fields.h"

namespace warden::cli {

DeviceCard::DeviceCard(std::shared_ptr<Session> session, std::string name, std::vector<std::uint8_t> harvested_rows)
    : session_(std::move(session)),
      name_(std::move(name)),
      harvested_rows_(std::move(harvested_rows)),
      device_(Device::open(session_, name_)) {}

Status DeviceCard::read(Tile tile, CardAddress address, std::span<std::byte> into) {
  return device_ ? device_->read(tile, address, into) : Status(std::unexpected(device_.error()));
}

Status DeviceCard::write(Tile tile, CardAddress address, std::span<const std::byte> from) {
  return device_ ? device_->write(tile, address, from) : Status(std::unexpected(device_.error()));
}

Result<std::uint32_t> DeviceCard::read32(Tile tile, CardAddress address) {
  return device_ ? device_->read32(tile, address) : Result<std::uint32_t>(std::unexpected(device_.error()));
}

Status DeviceCard::write32(Tile tile, CardAddress address, std::uint32_t value) {
  return device_ ? device_->write32(tile, address, value) : Status(std::unexpected(device_.error()));
}

Status DeviceCard::renew() {
  device_ = Device::open(session_, name_);
  if (!device_) return std::unexpected(device_.error());
  return {};
}

Result<std::vector<CardEntry>> parse_cards(std::string_view devices_json) {
  const Json listing = Json::parse(devices_json, nullptr, false);
  if (!listing.is_array()) {
    return fail(Code::kProtocol, "wardend's listing of devices is not understood: is it of another version?");
  }
  std::vector<CardEntry> cards;
  for (const Json& device : listing) {
    CardEntry& card = cards.emplace_back(CardEntry{.name = text(device, "name"), .harvested_rows = {}});
    for (const Json& row : member(device, "harvested_rows")) {
      if (row.is_number_unsigned()) card.harvested_rows.push_back(static_cast<std::uint8_t>(row.get<unsigned>()));
    }
  }
  return cards;
}

Result<std::vector<std::unique_ptr<fabric::Card>>> open_cards(const std::shared_ptr<Session>& session) {
  const auto listing = session->devices_json();
  if (!listing) return std::unexpected(listing.error());
  auto entries = parse_cards(*listing);
  if (!entries) return std::unexpected(std::move(entries).error());
  std::vector<std::unique_ptr<fabric::Card>> cards;
  for (CardEntry& entry : *entries) {
    cards.push_back(std::make_unique<DeviceCard>(session, std::move(entry.name), std::move(entry.harvested_rows)));
  }
  return cards;
}

}  // namespace warden::cli
