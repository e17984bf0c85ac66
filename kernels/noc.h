// SPDX-License-Identifier: Apache-2.0
// Requests into NoC #0. Nothing here waits: who finds an initiator busy comes back later. A request for which there is
// nobody keeps it busy for ever.
#pragma once

#include "kernels/device.h"

namespace warden::kernels {

constexpr uint32_t kNiu = 0xFFB20000;

inline uint32_t own_tile() { return at(kNiu + 0x2C) & 0xFFF; }  // NODE_ID; as tile_word()

class NocInitiator {
 public:
  // Initiators 0 to 3; the transaction id keeps the counts of what is underway apart. Tag 0 is for stores.
  constexpr NocInitiator(uint32_t index, uint32_t transaction_id) : base_(kNiu + 0x400 * index), id_(transaction_id) {}

  bool free() const { return at(base_ + kCommand) == 0; }
  // All its writes have arrived.
  bool arrived() const { return free() && (at(kNiu + kOutstanding + 4 * id_) & 0xFF) == 0; }
  // What an earlier program left underway is not ours to wait for.
  void forget_earlier() const { at(kNiu + 0x50) = 1U << id_; }

  // Of own L1, into that of `tile`. Free; the addresses are 16-aligned.
  void write(uint32_t from, uint32_t tile, uint32_t to, uint32_t bytes) const {
    at(base_ + kTargetLow) = from;
    at(base_ + kTargetMid) = own_tile() << 4;
    at(base_ + kReturnLow) = to;
    at(base_ + kReturnMid) = tile << 4;
    go(kWrite | kAcknowledged, bytes);
  }

  // A word. Free; stores of one initiator to one tile arrive in their order.
  void store(uint32_t tile, uint32_t address, uint32_t value) const {
    at(base_ + kTargetLow) = address;
    at(base_ + kTargetMid) = tile << 4;
    at(base_ + kData) = value;
    go(kWrite | kInline | kAcknowledged | kStaticChannel, 0xFU << (address & 15));
  }

 private:
  static constexpr uint32_t kTargetLow = 0x00;
  static constexpr uint32_t kTargetMid = 0x04;
  static constexpr uint32_t kReturnLow = 0x0C;
  static constexpr uint32_t kReturnMid = 0x10;
  static constexpr uint32_t kPacketTag = 0x18;
  static constexpr uint32_t kControl = 0x1C;
  static constexpr uint32_t kLength = 0x20;
  static constexpr uint32_t kData = 0x24;
  static constexpr uint32_t kCommand = 0x28;
  static constexpr uint32_t kOutstanding = 0x240;  // of transaction id 0
  // Bits of CTRL.
  static constexpr uint32_t kWrite = 2;
  static constexpr uint32_t kInline = 1U << 3;
  static constexpr uint32_t kAcknowledged = 1U << 4;
  static constexpr uint32_t kStaticChannel = 1U << 7;

  void go(uint32_t control, uint32_t length) const {
    at(base_ + kPacketTag) = id_ << 10;
    at(base_ + kControl) = control;
    at(base_ + kLength) = length;
    at(base_ + kCommand) = 1;
  }

  uint32_t base_;
  uint32_t id_;
};

}  // namespace warden::kernels
