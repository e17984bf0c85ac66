// SPDX-License-Identifier: Apache-2.0
// A card as the fabric needs it: tiles to read and write. Driven by this process, or by a server for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "driver/chip/tile.h"

namespace warden::fabric {

using chip::CardAddress;
using chip::Tile;

// Accesses and errors as for chip::Handle: kResetting while the card is reset, kStale afterwards until renew().
class Card {
 public:
  Card() = default;
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;
  virtual ~Card() = default;

  // As the user named it.
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
  // NoC #0 rows y of Tensix tiles that are fused off.
  [[nodiscard]] virtual const std::vector<std::uint8_t>& harvested_rows() const noexcept = 0;

  [[nodiscard]] virtual Status read(Tile tile, CardAddress address, std::span<std::byte> into) = 0;
  [[nodiscard]] virtual Status write(Tile tile, CardAddress address, std::span<const std::byte> from) = 0;
  // One aligned 32-bit access, strictly ordered.
  [[nodiscard]] virtual Result<std::uint32_t> read32(Tile tile, CardAddress address) = 0;
  [[nodiscard]] virtual Status write32(Tile tile, CardAddress address, std::uint32_t value) = 0;

  // The caller knows that the card was reset and goes on with it. Nothing happens if it was not.
  [[nodiscard]] virtual Status renew() = 0;
};

// A card that this process drives. Borrows the chip.
class ChipCard final : public Card {
 public:
  explicit ChipCard(chip::Chip& chip);

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] const std::vector<std::uint8_t>& harvested_rows() const noexcept override { return harvested_rows_; }
  [[nodiscard]] Status read(Tile tile, CardAddress address, std::span<std::byte> into) override {
    return handle_.read(tile, address, into);
  }
  [[nodiscard]] Status write(Tile tile, CardAddress address, std::span<const std::byte> from) override {
    return handle_.write(tile, address, from);
  }
  [[nodiscard]] Result<std::uint32_t> read32(Tile tile, CardAddress address) override {
    return handle_.read32(tile, address);
  }
  [[nodiscard]] Status write32(Tile tile, CardAddress address, std::uint32_t value) override {
    return handle_.write32(tile, address, value);
  }
  [[nodiscard]] Status renew() override;

 private:
  chip::Chip* chip_;
  chip::Handle handle_;
  std::string name_;
  std::vector<std::uint8_t> harvested_rows_;
};

}  // namespace warden::fabric
