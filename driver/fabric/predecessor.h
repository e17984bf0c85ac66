// SPDX-License-Identifier: Apache-2.0
// A fabric that ran before on these cards, made harmless for the next one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "driver/fabric/plan.h"

namespace warden::fabric {

// Holds every router that is found, and every worker that its lanes and deliveries name, so that nothing old writes
// into what is new; routers that are not in the plan are forgotten. Chooses the sessions of the planned links: never
// that which a link had before, of which lines may still be on their way.
[[nodiscard]] Status replace_predecessor(std::span<const std::unique_ptr<Card>> cards, std::vector<RouterPlan>& plans);

// One session for both ends of every planned link, higher than any that either end had.
void choose_sessions(std::vector<RouterPlan>& plans, const std::vector<std::uint32_t>& sessions_before);

}  // namespace warden::fabric
