// SPDX-License-Identifier: Apache-2.0
// Accesses to tiles: checking a request and turning it into work for the card's thread.
#pragma once

#include <functional>
#include <memory>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/socket.h"
#include "tools/wardend/replier.h"
#include "tools/wardend/session.h"

namespace warden::daemon {

struct TileJob {
  std::uint32_t device_index = 0;
  std::uint64_t epoch = 0;
  std::function<void(chip::Chip&)> work;  // accesses the card and answers the session
};

// `lost` is called, on the card's thread, when its transport turns out to be gone for good.
using DeviceLost = std::function<void(std::uint32_t device_index, std::string reason)>;

// kProtocol: the message contradicts itself, and the peer with it.
[[nodiscard]] Result<TileJob> make_tile_job(std::shared_ptr<Session> session, shm::Packet packet,
                                            const Replier& replier, DeviceLost lost);

}  // namespace warden::daemon
