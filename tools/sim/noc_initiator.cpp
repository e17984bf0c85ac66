// SPDX-License-Identifier: Apache-2.0
// What the registers of an initiator ask for, and doing it.
#include "tools/sim/noc_initiator.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace warden::sim {

namespace {

// Words of an initiator's registers.
constexpr unsigned kTargetLow = 0;
constexpr unsigned kTargetMid = 1;
constexpr unsigned kReturnLow = 3;
constexpr unsigned kReturnMid = 4;
constexpr unsigned kPacketTag = 6;
constexpr unsigned kControl = 7;
constexpr unsigned kLength = 8;
constexpr unsigned kData = 9;
constexpr unsigned kCommand = 10;

constexpr std::uint64_t kPageStride = 0x400;
constexpr std::uint64_t kCountersBegin = 0x200;

// Bits of CTRL.
constexpr std::uint32_t kKindMask = 3;
constexpr std::uint32_t kKindRead = 0;
constexpr std::uint32_t kKindAtomic = 1;
constexpr std::uint32_t kKindWrite = 2;
constexpr std::uint32_t kByteEnables = 1U << 2;
constexpr std::uint32_t kInline = 1U << 3;
constexpr std::uint32_t kWantsAck = 1U << 4;
constexpr std::uint32_t kBroadcast = 1U << 5;

constexpr std::uint64_t kRegisterSpace = 0xFFB00000;
constexpr std::uint64_t kLineBytes = 16;
constexpr std::uint32_t kIncrementWord = 0x1000 | 31U << 2;  // of 32 bits that wrap; the two lowest pick the word

struct Place {
  NocPlace to;  // of a broadcast: its last corner
  std::uint8_t x_start = 0;
  std::uint8_t y_start = 0;
};

Place place_of(std::uint32_t low, std::uint32_t mid) noexcept {
  const auto number = [&](unsigned first) { return static_cast<std::uint8_t>(mid >> first & 0x3F); };
  return {{.x = number(4), .y = number(10), .address = std::uint64_t{mid & 0xF} << 32 | low}, number(16), number(22)};
}

}  // namespace

struct NocInitiators::Request {
  Place target;
  Place back;
  std::uint32_t control = 0;
  std::uint32_t length = 0;
  std::uint32_t data = 0;
  unsigned id = 0;
  [[nodiscard]] bool wants_ack() const noexcept { return (control & kWantsAck) != 0; }
  [[nodiscard]] bool broadcast() const noexcept { return (control & kBroadcast) != 0; }
};

bool NocInitiators::contains(std::uint64_t offset) noexcept {
  return offset % kPageStride < kRegisters * 4 || Range{kCountersBegin, kCounters * 4}.contains(offset);
}

std::uint32_t NocInitiators::read_word(std::uint64_t offset) const noexcept {
  if (Range{kCountersBegin, kCounters * 4}.contains(offset)) return counters_[(offset - kCountersBegin) / 4];
  return registers_[offset / kPageStride][offset % kPageStride / 4];
}

void NocInitiators::write_word(std::uint64_t offset, std::uint32_t value) {
  if (Range{kCountersBegin, kCounters * 4}.contains(offset)) return;  // read-only
  Registers& registers = registers_[offset / kPageStride];
  const auto which = static_cast<unsigned>(offset % kPageStride / 4);
  if (which != kCommand) {
    registers[which] = value;
    return;
  }
  if ((value & 1) == 0 || registers[kCommand] != 0) return;
  registers[kCommand] = run(registers) ? 0 : 1;
}

void NocInitiators::clear_outstanding(std::uint32_t mask) noexcept {
  for (unsigned id = 0; id < 16; ++id) {
    if ((mask >> id & 1) != 0) counter(NocCounter::kOutstandingById, id) = 0;
  }
}

void NocInitiators::reset() noexcept {
  registers_ = {};
  counters_ = {};
}

std::uint32_t NocInitiators::busy_mask() const noexcept {
  std::uint32_t mask = 0;
  for (unsigned b = 0; b < kInitiators; ++b) mask |= registers_[b][kCommand] << b;
  return mask;
}

bool NocInitiators::is_own(unsigned x, unsigned y) const noexcept { return grid_.resolve(x, y, noc1_) == tile_; }

bool NocInitiators::run(const Registers& registers) {
  const Request request{.target = place_of(registers[kTargetLow], registers[kTargetMid]),
                        .back = place_of(registers[kReturnLow], registers[kReturnMid]),
                        .control = registers[kControl],
                        .length = registers[kLength],
                        .data = registers[kData],
                        .id = registers[kPacketTag] >> 10 & 0xF};
  bool taken = false;
  if (noc_ == nullptr || (request.control & kByteEnables) != 0) return false;
  switch (request.control & kKindMask) {
    case kKindRead: taken = run_read(request); break;
    case kKindAtomic: taken = run_atomic(request); break;
    case kKindWrite: taken = (request.control & kInline) != 0 ? run_inline(request) : run_write(request); break;
    default: break;
  }
  if (taken) ++counter(NocCounter::kCommandsAccepted);
  return taken;
}

// Calls `piece` for each packet that a transfer is cut into: offset and size.
template <typename Piece>
bool each_packet(std::uint64_t from, std::uint64_t to, std::uint32_t length, Piece&& piece) {
  const bool aligned = from % kLineBytes == 0 && to % kLineBytes == 0;
  if (length == 0 || (length > NocInitiators::kPacketBytes && !aligned)) return false;
  if (from % kLineBytes != to % kLineBytes) return false;
  for (std::uint32_t done = 0; done < length; done += NocInitiators::kPacketBytes) {
    piece(done, std::min<std::size_t>(length - done, NocInitiators::kPacketBytes));
  }
  return true;
}

bool NocInitiators::run_read(const Request& request) {
  if (request.broadcast() || !is_own(request.back.to.x, request.back.to.y)) return false;
  if (request.target.to.address >= kRegisterSpace && request.length != 4) return false;
  return each_packet(
      request.target.to.address, request.back.to.address, request.length, [&](std::uint64_t offset, std::size_t size) {
        std::array<std::byte, kPacketBytes> data;
        NocPlace from = request.target.to;
        NocPlace to = request.back.to;
        from.address += offset;
        to.address += offset;
        ++counter(NocCounter::kReadRequestsStarted);
        ++counter(NocCounter::kReadRequestsSent);
        if (noc_->noc_read(noc1_, from, std::span(data).first(size)) != Access::kOk ||
            noc_->noc_write(noc1_, to, std::span(data).first(size)) != Access::kOk) {
          ++counter(NocCounter::kOutstandingById, request.id);  // no answer comes
          return;
        }
        ++counter(NocCounter::kReadResponses);
        counter(NocCounter::kReadDataWords) += static_cast<std::uint32_t>((size + kDataWordBytes - 1) / kDataWordBytes);
      });
}

MulticastResult NocInitiators::deliver(const Request& request, std::uint64_t offset, std::span<const std::byte> data) {
  const Place& place = (request.control & kInline) != 0 ? request.target : request.back;
  if (request.broadcast()) {
    return noc_->noc_multicast(noc1_,
                               {.x_start = place.x_start,
                                .y_start = place.y_start,
                                .x_end = place.to.x,
                                .y_end = place.to.y,
                                .address = place.to.address + offset},
                               data);
  }
  NocPlace to = place.to;
  to.address += offset;
  return {noc_->noc_write(noc1_, to, data), 1};
}

void NocInitiators::count_write(const Request& request, std::size_t bytes, unsigned receivers, bool answered) {
  const unsigned posted = request.wants_ack() ? 0 : 1;
  ++counter(NocCounter::kWriteRequestsStarted, posted);
  ++counter(NocCounter::kWriteRequestsSent, posted);
  counter(NocCounter::kWriteDataWordsSent, posted) +=
      static_cast<std::uint32_t>((bytes + kDataWordBytes - 1) / kDataWordBytes);
  if (!request.wants_ack()) return;
  if (answered) {
    counter(NocCounter::kWriteAcks) += receivers;
  } else {
    ++counter(NocCounter::kOutstandingById, request.id);
  }
}

bool NocInitiators::run_write(const Request& request) {
  if (!is_own(request.target.to.x, request.target.to.y)) return false;
  if (request.back.to.address >= kRegisterSpace && request.length != 4) return false;
  return each_packet(request.target.to.address, request.back.to.address, request.length,
                     [&](std::uint64_t offset, std::size_t size) {
                       std::array<std::byte, kPacketBytes> data;
                       NocPlace from = request.target.to;
                       from.address += offset;
                       Access access = noc_->noc_read(noc1_, from, std::span(data).first(size));
                       MulticastResult done;
                       if (access == Access::kOk) {
                         done = deliver(request, offset, std::span(data).first(size));
                         access = done.access;
                       }
                       count_write(request, size, done.receivers, access == Access::kOk);
                     });
}

// Four bytes out of a register: to a tile's registers as they are, to memory the bytes of a line that the mask names.
bool NocInitiators::run_inline(const Request& request) {
  const std::uint64_t address = request.target.to.address;
  const auto word = std::as_bytes(std::span(&request.data, 1));
  MulticastResult done;
  if (address >= kRegisterSpace) {
    if (address % 4 != 0) return false;
    done = deliver(request, 0, word);
  } else {
    const std::uint64_t line = address & ~(kLineBytes - 1);
    bool any = false;
    for (unsigned i = 0; i < kLineBytes; ++i) {
      if ((request.length >> i & 1) == 0) continue;
      any = true;
      Request one = request;
      one.target.to.address = line + i;
      done = deliver(one, 0, word.subspan(i % 4, 1));
      if (done.access != Access::kOk) break;
    }
    if (!any) return false;
  }
  count_write(request, 4, done.receivers, done.access == Access::kOk);
  return true;
}

// Increment of a word, the old value sent back: the one kind that is known to be used.
bool NocInitiators::run_atomic(const Request& request) {
  const NocPlace& at = request.target.to;
  if (request.broadcast() || at.address % 4 != 0 || at.address >= kRegisterSpace ||
      request.length != (kIncrementWord | (at.address >> 2 & 3))) {
    return false;
  }
  const unsigned posted = request.wants_ack() ? 0 : 1;
  ++counter(NocCounter::kAtomicsStarted);
  ++counter(NocCounter::kAtomicsSent, posted);
  std::uint32_t before = 0;
  const auto before_bytes = std::as_writable_bytes(std::span(&before, 1));
  bool answered = noc_->noc_read(noc1_, at, before_bytes) == Access::kOk;
  if (answered) {
    const std::uint32_t after = before + request.data;
    answered = noc_->noc_write(noc1_, at, std::as_bytes(std::span(&after, 1))) == Access::kOk;
  }
  if (!request.wants_ack()) return true;
  if (answered && is_own(request.back.to.x, request.back.to.y) &&
      noc_->noc_write(noc1_, request.back.to, before_bytes) == Access::kOk) {
    ++counter(NocCounter::kAtomicResponses);
  } else {
    ++counter(NocCounter::kOutstandingById, request.id);
  }
  return true;
}

}  // namespace warden::sim
