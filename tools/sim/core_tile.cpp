// SPDX-License-Identifier: Apache-2.0
// What is found at the addresses of a tile with cores, and when its core runs.
#include "tools/sim/core_tile.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace warden::sim {

namespace {

constexpr Range kRegisters{0xFFB10000, 0xFFC00000 - 0xFFB10000};
constexpr std::uint64_t kSoftReset = 0xFFB121B0;
constexpr std::uint64_t kWallClockLow = 0xFFB121F0;
constexpr std::uint64_t kWallClockHigh = 0xFFB121F4;
constexpr std::uint64_t kWallClockHighLatched = 0xFFB121F8;
constexpr std::uint32_t kTensixInReset = 0x47800;  // all five cores
constexpr std::uint32_t kEthernetInReset = 0x800;
constexpr std::uint64_t kNiu0 = 0xFFB20000;
constexpr std::uint64_t kNiu1 = 0xFFB30000;

constexpr std::uint32_t kCoreHeld = 1U << 11;  // BRISC on Tensix, ERISC on Ethernet tiles

// How long a core that polls the clock is left alone: the first, doubled so many times. They end at whole multiples of
// themselves, so that cores which doze equally long wake together.
constexpr TimePoint::duration kFirstDoze = std::chrono::microseconds(20);
constexpr TimePoint::duration kLongestDoze = 2048 * kFirstDoze;  // 41 ms: heartbeats of 50 ms come after 82

TimePoint end_of_doze(TimePoint now, TimePoint::duration doze) {
  const auto since_start = now.time_since_epoch();
  return TimePoint(since_start - since_start % doze + doze);
}

}  // namespace

CoreTile::CoreTile(const Grid& grid, Coordinate tile, NowFunction now, Noc& noc, std::function<void(CoreTile&)> woken)
    : place_(tile),
      ethernet_(kind_of(tile) == TileKind::kEthernet),
      l1_(ethernet_ ? kEthernetL1Bytes : kTensixL1Bytes),
      niu_(grid, tile, kNiu0, kNiu1, &noc),
      now_(std::move(now)),
      woken_(std::move(woken)) {
  if (ethernet_) {
    port_.emplace(l1_.bytes(), [this](std::uint64_t address, std::span<const std::byte> data) {
      (void)write(address, data);  // where nothing is, it is lost
    });
  }
  reset(now_());
}

void CoreTile::reset(TimePoint now) {
  l1_.clear();
  niu_.reset();
  stored_.clear();
  clock_start_ = now;
  latched_clock_high_ = 0;
  soft_reset_ = all_held();
  has_run_ = false;
  show_traffic();
  follow_soft_reset();
  if (port_) port_->come_up(now);
}

// ---- its addresses ----

Access CoreTile::read(std::uint64_t address, std::span<std::byte> into) {
  if (in_l1(address, into.size())) {
    if (port_ && EthernetPort::kHeartbeatWord.overlaps(address, into.size())) port_->beat(now_());
    std::memcpy(into.data(), l1_.bytes().data() + address, into.size());
    return Access::kOk;
  }
  if (niu_.contains(address, into.size())) {
    niu_.read(address, into);
    return Access::kOk;
  }
  if (!kRegisters.contains(address, into.size())) return Access::kUnmapped;
  read_words(address, into, [this](std::uint64_t at) { return read_register(at); });
  return Access::kOk;
}

Access CoreTile::write(std::uint64_t address, std::span<const std::byte> from) {
  Access done = Access::kOk;
  if (in_l1(address, from.size())) {
    std::memcpy(l1_.bytes().data() + address, from.data(), from.size());
    if (port_ && EthernetPort::kRetrainWord.overlaps(address, from.size())) port_->look_for_retrain(now_());
  } else if (niu_.contains(address, from.size())) {
    done = niu_.write(address, from);
  } else if (kRegisters.contains(address, from.size())) {
    done = write_words(address, from, [this](std::uint64_t at, std::uint32_t value) { write_register(at, value); });
  } else {
    return Access::kUnmapped;
  }
  wake();
  return done;
}

std::uint32_t CoreTile::read_register(std::uint64_t address) {
  if (port_ && EthernetPort::kTransmit.contains(address)) return port_->read_word(address);
  if (address == kSoftReset) return soft_reset_;
  if (address == kWallClockHighLatched) return latched_clock_high_;
  if (address == kWallClockLow || address == kWallClockHigh) {
    // One tick a nanosecond: 1 GHz.
    const TimePoint now = run_time_ ? *run_time_ : now_();
    const auto ticks = static_cast<std::uint64_t>((now - clock_start_) / std::chrono::nanoseconds(1));
    const auto high = static_cast<std::uint32_t>(ticks >> 32);
    if (address == kWallClockHigh) return high;
    latched_clock_high_ = high;
    return static_cast<std::uint32_t>(ticks);
  }
  const auto found = stored_.find(address);
  return found == stored_.end() ? 0 : found->second;
}

void CoreTile::write_register(std::uint64_t address, std::uint32_t value) {
  if (port_ && EthernetPort::kTransmit.contains(address)) {
    port_->write_word(address, value, run_time_ ? *run_time_ : now_());
  } else if (address == kSoftReset) {
    soft_reset_ = value;
    has_run_ = has_run_ || (value & all_held()) != all_held();
    show_traffic();
    if (!run_time_) follow_soft_reset();
  } else {
    stored_[address] = value;
  }
}

std::uint32_t CoreTile::all_held() const noexcept { return ethernet_ ? kEthernetInReset : kTensixInReset; }

void CoreTile::set_noc_stuck(bool stuck) {
  noc_stuck_ = stuck;
  show_traffic();
}

void CoreTile::show_traffic() { niu_.of(false).set_stuck(noc_stuck_ && has_run_); }

// ---- its core ----

std::optional<rv32::Bus::Load> CoreTile::load(std::uint32_t address) {
  std::uint32_t word = 0;
  const auto bytes = std::as_writable_bytes(std::span(&word, 1));
  if (niu_.contains(address, sizeof(word))) {
    niu_.read(address, bytes);
    return Load{word, false};
  }
  if (!kRegisters.contains(address, sizeof(word))) return std::nullopt;
  return Load{read_register(address), address == kWallClockLow || address == kWallClockHigh};
}

// Registers are words: narrower stores, and stores to where nothing is, are lost.
void CoreTile::store(std::uint32_t address, std::uint32_t value, unsigned bytes) {
  if (bytes != sizeof(value)) return;
  if (niu_.contains(address, sizeof(value))) {
    (void)niu_.write(address, std::as_bytes(std::span(&value, 1)));  // an aligned word: taken
  } else if (kRegisters.contains(address, sizeof(value))) {
    write_register(address, value);
  }
}

// A core that puts itself into reset runs to the end of its turn.
void CoreTile::follow_soft_reset() {
  const bool held = (soft_reset_ & kCoreHeld) != 0;
  if (held) {
    core_.reset();
    activity_ = Activity::kStopped;
    frozen_ = false;
  } else if (!core_) {
    core_.emplace(l1_.bytes(), static_cast<rv32::Bus&>(*this));
    activity_ = Activity::kWaits;
    wake();
  }
}

bool CoreTile::freeze() {
  frozen_ = core_.has_value();
  return frozen_;
}

bool CoreTile::thaw() {
  if (!std::exchange(frozen_, false)) return false;
  if (activity_ == Activity::kStopped) return true;  // it had ended before
  activity_ = Activity::kRuns;
  doze_ = kFirstDoze;
  woken_(*this);
  return true;
}

void CoreTile::wake() {
  if (frozen_) return;  // thaw() makes up for it
  if (activity_ != Activity::kWaits && activity_ != Activity::kWaitsForTime) return;
  activity_ = Activity::kRuns;
  doze_ = kFirstDoze;
  woken_(*this);
}

void CoreTile::serve_port(TimePoint now) {
  if (port_->serve(now)) wake();
}

// Twice in a row it did something at once: it is woken too late. For something that it does now and then, once in a
// few dozes, they are just right.
void CoreTile::fall_asleep(TimePoint now) {
  const bool stored = core_->has_stored();
  if (!stored) doze_ = std::min(2 * doze_, kLongestDoze);
  if (stored && stored_before_) doze_ = std::max(doze_ / 2, kFirstDoze);
  stored_before_ = stored;
  next_look_ = end_of_doze(now, doze_);
}

std::uint64_t CoreTile::run(std::uint64_t instructions, TimePoint now) {
  if (!core_ || frozen_) return 0;
  const std::uint64_t before = core_->instructions();
  activity_ = Activity::kRuns;
  run_time_ = now;
  const rv32::Stop stop = core_->run(instructions);
  run_time_.reset();
  const std::uint64_t executed = core_->instructions() - before;
  switch (stop) {
    case rv32::Stop::kBudget: doze_ = kFirstDoze; break;
    case rv32::Stop::kIdle:
      activity_ = core_->polls_clock() ? Activity::kWaitsForTime : Activity::kWaits;
      fall_asleep(now);
      break;
    case rv32::Stop::kPaused:
    case rv32::Stop::kHung: activity_ = Activity::kStopped; break;
  }
  follow_soft_reset();
  if (port_ && core_ && core_->has_stored()) port_->look_for_retrain(now);
  return executed;
}

}  // namespace warden::sim
