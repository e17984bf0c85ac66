// SPDX-License-Identifier: Apache-2.0
// Cards as the fabric needs them, driven by wardend for a session: no right is needed that a session does not have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warden/device.h>
#include <warden/result.h>
#include <warden/session.h>

#include "driver/fabric/card.h"

namespace warden::cli {

// A card that can't be opened is one as well: every access answers why.
class DeviceCard final : public fabric::Card {
 public:
  DeviceCard(std::shared_ptr<Session> session, std::string name, std::vector<std::uint8_t> harvested_rows);

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] const std::vector<std::uint8_t>& harvested_rows() const noexcept override { return harvested_rows_; }
  [[nodiscard]] Status read(Tile tile, CardAddress address, std::span<std::byte> into) override;
  [[nodiscard]] Status write(Tile tile, CardAddress address, std::span<const std::byte> from) override;
  [[nodiscard]] Result<std::uint32_t> read32(Tile tile, CardAddress address) override;
  [[nodiscard]] Status write32(Tile tile, CardAddress address, std::uint32_t value) override;
  [[nodiscard]] Status renew() override;

 private:
  std::shared_ptr<Session> session_;
  std::string name_;
  std::vector<std::uint8_t> harvested_rows_;
  Result<Device> device_;
};

struct CardEntry {
  std::string name;
  std::vector<std::uint8_t> harvested_rows;
};
// From wardend's listing of devices. kProtocol: not of that shape.
[[nodiscard]] Result<std::vector<CardEntry>> parse_cards(std::string_view devices_json);

// All that wardend knows, in the order of `warden devices`.
[[nodiscard]] Result<std::vector<std::unique_ptr<fabric::Card>>> open_cards(const std::shared_ptr<Session>& session);

}  // namespace warden::cli
