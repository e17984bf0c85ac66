// SPDX-License-Identifier: Apache-2.0
// Requests that a card's thread answers: checking a message and turning it into work.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/socket.h"
#include "tools/wardend/broker.h"
#include "tools/wardend/replier.h"
#include "tools/wardend/session.h"

namespace warden::daemon {

struct CardJob {
  std::uint32_t device_index = 0;
  std::uint64_t epoch = 0;
  std::function<void(chip::Chip&)> work;  // accesses the card and answers the session
};

// `lost` is called, on the card's thread, when its transport turns out to be gone for good.
using DeviceLost = std::function<void(std::uint32_t device_index, std::string reason)>;

// What the work needs; all of it outlives the card's thread.
struct CardJobParts {
  const Replier& replier;
  Broker& broker;
  DeviceLost lost;
};

// Of the kinds kRead to kWrite32, kBatch, kReserveWindow and kMapDma. kProtocol: the message contradicts itself, and
// the peer with it.
[[nodiscard]] Result<CardJob> make_card_job(std::shared_ptr<Session> session, shm::Packet packet, CardJobParts parts);

}  // namespace warden::daemon
