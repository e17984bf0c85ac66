// SPDX-License-Identifier: Apache-2.0
// The seam between a reset and the fabric: traffic through the cards is stopped before, and comes back after.
#pragma once

#include <optional>
#include <span>

#include "tools/wardend/reset_record.h"

namespace warden::daemon {

// Used by the transaction's thread alone. Everything ends in bounded time; what could not be done is in the record's
// complaint.
class FabricGuard {
 public:
  FabricGuard(const FabricGuard&) = delete;
  FabricGuard& operator=(const FabricGuard&) = delete;
  virtual ~FabricGuard() = default;

  // Before the cards are touched: packets to and through them wait at their senders, what is on its way arrives, the
  // routers that face them are paused. Traffic between the others goes on. Nothing: no routers run on these cards or
  // towards them. Called again after a worker's death, whatever that one had done.
  [[nodiscard]] virtual std::optional<FabricRecord> prepare(std::span<const ResetDevice> devices) = 0;
  // After the cards' reset, which is proven: links, routers and traffic as before it. Sets `restored`.
  virtual void restore(std::span<const ResetDevice> devices, FabricRecord& record) = 0;
  // The cards were not touched after all: lets everything go on. Sets `restored`.
  virtual void undo(std::span<const ResetDevice> devices, FabricRecord& record) = 0;

 protected:
  FabricGuard() = default;
};

}  // namespace warden::daemon
