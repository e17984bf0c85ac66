// SPDX-License-Identifier: Apache-2.0
// Two queues, and whether anything goes into them.
#include "tools/sim/ethernet_link.h"

#include <utility>

namespace warden::sim {

EthernetLink::View EthernetLink::view_locked(TimePoint now) const {
  if (!trained_at_) return {State::kDown, std::nullopt};
  if (now < *trained_at_) return {State::kTraining, trained_at_};
  return {fails_ ? State::kFailed : State::kUp, std::nullopt};
}

EthernetLink::View EthernetLink::view(TimePoint now) {
  const std::scoped_lock lock(mutex_);
  return view_locked(now);
}

void EthernetLink::train_anew(TimePoint now) {
  trained_at_.reset();
  if (plugged_ && sides_[0].ready && sides_[1].ready) trained_at_ = now + training_;
  fails_ = !sides_[0].trainable || !sides_[1].trainable;
}

void EthernetLink::ring_both() {
  for (const Side& side : sides_) {
    if (side.bell) side.bell();
  }
}

void EthernetLink::set_ready(unsigned side, bool ready, TimePoint now) {
  {
    const std::scoped_lock lock(mutex_);
    Side& here = sides_[side];
    if (here.ready == ready) return;
    here.ready = ready;
    here.arriving.clear();
    here.arriving_bytes = 0;
    train_anew(now);
  }
  ring_both();
}

void EthernetLink::retrain(TimePoint now) {
  {
    const std::scoped_lock lock(mutex_);
    train_anew(now);
  }
  ring_both();
}

void EthernetLink::set_trainable(unsigned side, bool trainable, TimePoint now) {
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(sides_[side].trainable, trainable) == trainable) return;
    if (view_locked(now).state == State::kUp) return;
    train_anew(now);
  }
  ring_both();
}

void EthernetLink::set_plugged(bool plugged, TimePoint now) {
  {
    const std::scoped_lock lock(mutex_);
    if (plugged_ == plugged) return;
    plugged_ = plugged;
    train_anew(now);
  }
  ring_both();
}

bool EthernetLink::send(unsigned side, EthernetPacket& packet, TimePoint now) {
  std::function<void()> bell;
  {
    const std::scoped_lock lock(mutex_);
    Side& other = sides_[1 - side];
    const bool room = other.arriving_bytes + packet.data.size() <= kInFlightBytes || other.arriving.empty();
    if (view_locked(now).state != State::kUp || !room) {
      sides_[side].refused = true;
      return false;
    }
    if (other.arriving.empty()) bell = other.bell;  // otherwise it has been told already
    other.arriving_bytes += packet.data.size();
    other.arriving.push_back(std::move(packet));
  }
  if (bell) bell();
  return true;
}

std::deque<EthernetPacket> EthernetLink::receive(unsigned side) {
  std::deque<EthernetPacket> arrived;
  std::function<void()> bell;
  {
    const std::scoped_lock lock(mutex_);
    Side& here = sides_[side];
    arrived = std::exchange(here.arriving, {});
    here.arriving_bytes = 0;
    Side& other = sides_[1 - side];
    if (!arrived.empty() && std::exchange(other.refused, false)) bell = other.bell;
  }
  if (bell) bell();
  return arrived;
}

}  // namespace warden::sim
