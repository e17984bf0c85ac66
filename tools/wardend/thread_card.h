// SPDX-License-Identifier: Apache-2.0
// A card of wardend as the fabric's control plane sees it: every access is a job of the card's own thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "tools/wardend/device_thread.h"

namespace warden::daemon {

// Borrows the thread. Always of the card's present epoch, so there is nothing to renew. kOffBus for a lost card, kBusy
// while a session drives it itself, kTimeout when its thread does not come to the access. Threads: any but the card's.
class ThreadCard final : public fabric::Card {
 public:
  explicit ThreadCard(DeviceThread& thread) : thread_(thread), harvested_rows_(thread.harvested_rows()) {}

  [[nodiscard]] const std::string& name() const noexcept override { return thread_.name(); }
  [[nodiscard]] const std::vector<std::uint8_t>& harvested_rows() const noexcept override { return harvested_rows_; }
  [[nodiscard]] Status read(chip::Tile tile, chip::CardAddress address, std::span<std::byte> into) override;
  [[nodiscard]] Status write(chip::Tile tile, chip::CardAddress address, std::span<const std::byte> from) override;
  [[nodiscard]] Result<std::uint32_t> read32(chip::Tile tile, chip::CardAddress address) override;
  [[nodiscard]] Status write32(chip::Tile tile, chip::CardAddress address, std::uint32_t value) override;
  [[nodiscard]] Status renew() override { return {}; }

 private:
  // What the access has read. It may come to its turn when nobody waits for it any more, so it owns what it needs.
  using Bytes = std::vector<std::byte>;
  using Access = std::function<Result<Bytes>(const chip::Handle&)>;
  [[nodiscard]] Result<Bytes> perform(Access access);

  DeviceThread& thread_;
  std::vector<std::uint8_t> harvested_rows_;
};

}  // namespace warden::daemon
