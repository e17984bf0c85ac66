// SPDX-License-Identifier: Apache-2.0
// A card that this process drives.
#include "driver/fabric/card.h"

namespace warden::fabric {

ChipCard::ChipCard(chip::Chip& chip)
    : chip_(&chip),
      handle_(chip.handle()),
      name_(chip.device().name()),
      harvested_rows_(chip.identity().harvested_rows) {}

Status ChipCard::renew() {
  handle_ = chip_->handle();
  return {};
}

}  // namespace warden::fabric
