// SPDX-License-Identifier: Apache-2.0
// A card handed to one trusted session, to be driven with the driver: one end of a vfio-user connection that is
// served by passing on, so that it can be cut at any moment. Resets, interrupts and DMA mappings are not passed on:
// they stay wardend's.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/vfio/device.h"
#include "driver/vfio/vfio_user_server.h"

namespace warden::daemon {

// Owner: the card's DeviceThread. Threads: as said.
class DirectGrant {
 public:
  struct Opened {
    std::unique_ptr<DirectGrant> grant;
    UniqueFd peer;  // what vfio::adopt() takes
  };
  // `ended` is called, on a thread of its own, when the peer has closed its end or was cut off. The device outlives it.
  [[nodiscard]] static Result<Opened> open(vfio::Device& device, std::function<void()> ended);
  ~DirectGrant();  // stops, and waits for the access under way to end
  DirectGrant(const DirectGrant&) = delete;
  DirectGrant& operator=(const DirectGrant&) = delete;

  // Any thread: nothing more is accepted. Does not wait.
  void stop() noexcept { session_.stop(); }

 private:
  DirectGrant(vfio::Device& device, UniqueFd socket, std::function<void()> ended);

  std::unique_ptr<vfio::VfioUserTarget> target_;
  vfio::VfioUserSession session_;
  std::thread thread_;
};

}  // namespace warden::daemon
