// SPDX-License-Identifier: Apache-2.0
// Routers put on their tiles and started.
#pragma once

#include <chrono>
#include <memory>
#include <span>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "driver/fabric/plan.h"
#include "kernels/images.h"

namespace warden::fabric {

struct LoadOptions {
  bool telemetry = true;
  RouterCommand command = RouterCommand::kRun;
  std::chrono::milliseconds deadline{5000};
};

// All are held, then written, then released, so that none writes into another one that is not yet there. Done when each
// has said that it is in the state of the command; kTimeout names the first that has not, and what was last seen of it.
[[nodiscard]] Status load_routers(std::span<const std::unique_ptr<Card>> cards, std::span<const RouterPlan> plans,
                                  const LoadOptions& options);

[[nodiscard]] Status write_image(Card& card, Tile tile, const kernels::Image& image);

}  // namespace warden::fabric
