// SPDX-License-Identifier: Apache-2.0
// Transmit queues, and what firmware says of the link.
#include "tools/sim/ethernet_port.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace warden::sim {

namespace {

constexpr std::uint64_t kQueueStride = 0x1000;

// Offsets of a transmit queue's registers.
constexpr std::uint64_t kControl = 0x00;
constexpr std::uint64_t kCommand = 0x04;
constexpr std::uint64_t kStartAddress = 0x14;
constexpr std::uint64_t kSizeBytes = 0x18;
constexpr std::uint64_t kDestination = 0x1C;
constexpr std::uint64_t kRegisterData = 0x44;
constexpr std::uint32_t kControlAfterBoot = 0x9;  // TT-link, nothing dropped

constexpr std::uint32_t kWriteMemory = 2;
constexpr std::uint32_t kWriteRegister = 4;  // queue 0 only
constexpr std::uint64_t kLineBytes = 16;
constexpr std::uint64_t kRegisterSpace = 0xFFB00000;

// Of a slow queue.
constexpr std::size_t kTakenMost = 16;
constexpr int kReadsAfter = 8;  // latchings

// Words in L1.
constexpr std::uint64_t kFirmwareVersionWord = 0x210;
constexpr std::uint32_t kFirmwareVersion = 0x0006E000;  // 6.14.0
constexpr std::uint64_t kTrainingWord = 0x1104;
constexpr std::uint64_t kChipWord = 0x1108;
constexpr std::uint64_t kRemoteChipWord = 0x1124;
constexpr std::uint64_t kResults = 0x1EC0;
constexpr std::uint64_t kBoardWord = kResults + 4 * 64;
constexpr std::uint64_t kRemoteBoardWord = kResults + 4 * 72;
constexpr std::uint64_t kRemoteChannelWord = kResults + 4 * 76;

// tt-umd's names: in progress, success, fail, not connected.
constexpr std::uint32_t kInProgress = 0;
constexpr std::uint32_t kSuccess = 1;
constexpr std::uint32_t kFail = 2;
constexpr std::uint32_t kNotConnected = 3;

constexpr std::uint32_t kHeartbeatMark = 0xABCD0000;
constexpr std::uint32_t kHeartbeatMarkMask = 0xFFFF0000;

unsigned queue_at(std::uint64_t address) {
  return static_cast<unsigned>((address - EthernetPort::kTransmit.begin) / kQueueStride);
}

}  // namespace

void EthernetPort::connect(LinkEnd end, std::uint8_t channel, const LinkIdentity& identity) {
  end_ = std::move(end);
  channel_ = channel;
  identity_ = identity;
}

// ---- registers ----

std::uint32_t EthernetPort::read_word(std::uint64_t address) const {
  const Queue& queue = queues_[queue_at(address)];
  const std::uint64_t offset = address % kQueueStride;
  if (offset == kCommand) return queue.command;
  const auto found = queue.registers.find(offset);
  if (found != queue.registers.end()) return found->second;
  return offset == kControl ? kControlAfterBoot : 0;
}

void EthernetPort::write_word(std::uint64_t address, std::uint32_t value, TimePoint now) {
  const unsigned queue = queue_at(address);
  if (address % kQueueStride == kCommand) {
    command(queue, value, now);
  } else {
    queues_[queue].registers[address % kQueueStride] = value;
  }
}

// A command that makes no sense is never taken, as the simulator of the hardware's makers has it end in an error.
void EthernetPort::command(unsigned index, std::uint32_t value, TimePoint now) {
  Queue& queue = queues_[index];
  if (queue.command != 0 || value == 0) return;
  queue.command = value;
  queue.latches = is_slow() ? now + end_.link->latching() : now;
  (void)work(index, now);
  if (is_slow()) end_.link->ring(end_.side);  // it has to be looked after later
}

std::optional<EthernetPort::Transfer> EthernetPort::transfer_of(unsigned index) const {
  const auto value = [&](std::uint64_t offset) { return read_word(kTransmit.begin + index * kQueueStride + offset); };
  const std::uint32_t command = queues_[index].command;
  Transfer transfer{.destination = value(kDestination), .start = value(kRegisterData), .size = 0, .reads = {}};
  if (!connected()) return std::nullopt;
  if (command == kWriteRegister && index == 0) {
    if (transfer.destination < kRegisterSpace || transfer.destination % 4 != 0) return std::nullopt;
    return transfer;
  }
  transfer.start = value(kStartAddress);
  transfer.size = value(kSizeBytes);
  const bool aligned = transfer.start % kLineBytes == 0 && transfer.destination % kLineBytes == 0 &&
                       transfer.size % kLineBytes == 0 && transfer.size != 0;
  if (command != kWriteMemory || !aligned || !Range{0, l1_.size()}.contains(transfer.start, transfer.size)) {
    return std::nullopt;
  }
  return transfer;
}

EthernetPacket EthernetPort::read_from_memory(const Transfer& transfer) const {
  const auto word = std::as_bytes(std::span(&transfer.start, 1));
  const std::span<const std::byte> data =
      transfer.size == 0 ? word : std::span<const std::byte>(l1_).subspan(transfer.start, transfer.size);
  return {.address = transfer.destination, .data = {data.begin(), data.end()}};
}

// Whether the command was taken; with a queue that is not slow it stays until it is sent.
bool EthernetPort::latch(unsigned index, TimePoint now) {
  Queue& queue = queues_[index];
  if (!queue.latches || *queue.latches > now || queue.taken.size() >= kTakenMost) return false;
  queue.latches.reset();
  auto transfer = transfer_of(index);
  if (!transfer) return false;
  transfer->reads = is_slow() ? now + kReadsAfter * end_.link->latching() : now;
  queue.taken.push_back(*transfer);
  if (is_slow()) queue.command = 0;
  return is_slow();
}

// Whether a command was taken, so that the next may be written.
bool EthernetPort::work(unsigned index, TimePoint now) {
  Queue& queue = queues_[index];
  bool free = latch(index, now);
  while (!queue.taken.empty() && queue.taken.front().reads <= now) {
    EthernetPacket packet = read_from_memory(queue.taken.front());
    if (!end_.link->send(end_.side, packet, now)) break;
    queue.taken.pop_front();
    if (!is_slow()) queue.command = 0;
    free = free || !is_slow() || latch(index, now);
  }
  return free;
}

std::optional<TimePoint> EthernetPort::next_of_queues() const {
  std::optional<TimePoint> next;
  const auto add = [&](TimePoint when) { next = std::min(next.value_or(TimePoint::max()), when); };
  for (const Queue& queue : queues_) {
    if (queue.latches && queue.taken.size() < kTakenMost) add(*queue.latches);
    if (!queue.taken.empty()) add(queue.taken.front().reads);
  }
  return next;
}

// ---- the link ----

void EthernetPort::go_down(TimePoint now) {
  if (connected()) end_.link->set_ready(end_.side, false, now);
}

void EthernetPort::come_up(TimePoint now) {
  queues_ = {};
  retraining_ = false;
  set_word(kFirmwareVersionWord, kFirmwareVersion);
  set_word(kHeartbeatWord.begin, kHeartbeatMark);
  write_link_words(EthernetLink::State::kDown);
  if (!connected()) return;
  end_.link->set_ready(end_.side, true, now);
  write_link_words(end_.link->view(now).state);
}

bool EthernetPort::serve(TimePoint now) {
  const bool changed = next_change_ && *next_change_ <= now;
  if (!rung_.exchange(false, std::memory_order_acq_rel) && !changed) return false;  // sync: ethernet_port.rung
  for (const EthernetPacket& packet : end_.link->receive(end_.side)) deliver_(packet.address, packet.data);
  bool sent = false;
  for (unsigned queue = 0; queue < queues_.size(); ++queue) sent |= work(queue, now);
  const EthernetLink::View view = end_.link->view(now);
  next_change_ = view.changes;
  // What is due now waits for the link, which rings.
  if (const auto next = next_of_queues(); next && *next > now) {
    next_change_ = std::min(next_change_.value_or(TimePoint::max()), *next);
  }
  tell(view.state);
  return sent;
}

void EthernetPort::look_for_retrain(TimePoint now) {
  if (retraining_ || word(kRetrainWord.begin) != 1) return;
  retraining_ = true;
  if (connected()) end_.link->retrain(now);
  tell(connected() ? end_.link->view(now).state : EthernetLink::State::kDown);
}

// Firmware whose memory was written over has no heartbeat any more.
void EthernetPort::beat(TimePoint now) {
  if ((word(kHeartbeatWord.begin) & kHeartbeatMarkMask) != kHeartbeatMark) return;
  const auto beats = static_cast<std::uint32_t>(now.time_since_epoch() / std::chrono::milliseconds(1));
  set_word(kHeartbeatWord.begin, kHeartbeatMark | (beats & ~kHeartbeatMarkMask));
}

void EthernetPort::tell(EthernetLink::State state) {
  if (state != told_) write_link_words(state);
  if (retraining_ && state != EthernetLink::State::kTraining) {
    retraining_ = false;
    set_word(kRetrainWord.begin, 0);
  }
}

void EthernetPort::write_link_words(EthernetLink::State state) {
  told_ = state;
  using State = EthernetLink::State;
  if (state != State::kUp) {
    const std::uint32_t not_up = state == State::kFailed ? kFail : kNotConnected;
    set_word(kTrainingWord, state == State::kTraining ? kInProgress : not_up);
    return;
  }
  set_word(kChipWord, std::uint32_t{identity_.x} << 16 | std::uint32_t{identity_.y} << 24);
  set_word(kRemoteChipWord, std::uint32_t{identity_.remote_x} << 16 | std::uint32_t{identity_.remote_y} << 22);
  set_word(kBoardWord, identity_.board);
  set_word(kRemoteBoardWord, identity_.remote_board);
  set_word(kRemoteChannelWord, identity_.remote_channel);
  set_word(kTrainingWord, kSuccess);
}

std::uint32_t EthernetPort::word(std::uint64_t address) const {
  std::uint32_t value = 0;
  std::memcpy(&value, l1_.data() + address, sizeof(value));
  return value;
}

// As a write of the firmware's: a core that polls the word goes on.
void EthernetPort::set_word(std::uint64_t address, std::uint32_t value) {
  deliver_(address, std::as_bytes(std::span(&value, 1)));
}

}  // namespace warden::sim
