// SPDX-License-Identifier: Apache-2.0
// Where things are on a Wormhole: PCI ids, the BAR0 map, the registers of the ARC's reset unit, and the NoC grid.
// Sources: tt-isa-documentation (WormholeB0/PCIExpressTile, ARCTile, NoC), tt-kmd (wormhole.c), tt-umd.
#pragma once

#include <cstddef>
#include <cstdint>

#include "driver/chip/tile.h"

namespace warden::chip::wormhole {

// ---- PCI (tt-kmd) ----
inline constexpr std::uint16_t kVendor = 0x1E52;
inline constexpr std::uint16_t kDevice = 0x401E;

// Command register bits, PCI Local Bus specification 6.2.2. Parity error response has no effect on this card; a chip
// reset clears it, so tt-kmd uses it as the marker of a reset that did happen.
inline constexpr std::uint16_t kCommandMemory = 1U << 1;
inline constexpr std::uint16_t kCommandMaster = 1U << 2;
inline constexpr std::uint16_t kCommandMarker = 1U << 6;

// Device Control, in the PCI Express capability of this card (tt-kmd); its field of the maximum payload size.
inline constexpr std::uint64_t kDeviceControl = 0x78;
inline constexpr std::uint16_t kDeviceControlPayload = 7U << 5;

// ---- BAR0 (tt-isa-documentation: PCIExpressTile/TLBs) ----
inline constexpr std::uint64_t kBar0Bytes = 512ULL << 20;

// Three classes of windows, one behind the other both in BAR0 and in the configuration table.
struct WindowClass {
  std::size_t first_index;
  std::size_t count;
  std::uint64_t first_offset;  // in BAR0
  unsigned size_log2;
  unsigned address_bits;  // width of local_offset, which the coordinate fields follow
};
inline constexpr WindowClass kWindows1M{0, 156, 0x0000'0000, 20, 16};
inline constexpr WindowClass kWindows2M{156, 10, 0x09C0'0000, 21, 15};
// Window 185 belongs to tt-kmd where that is loaded; behind VFIO it is ours as well.
inline constexpr WindowClass kWindows16M{166, 20, 0x0B00'0000, 24, 12};
inline constexpr std::uint64_t kWindowConfig = 0x1FC0'0000;
inline constexpr std::uint64_t kWindowConfigStride = 8;
static_assert(kWindows2M.first_offset == kWindows1M.count << kWindows1M.size_log2);
static_assert(kWindows16M.first_offset == kWindows2M.first_offset + (kWindows2M.count << kWindows2M.size_log2));

// Addresses inside a tile have 36 bits.
inline constexpr std::uint64_t kTileAddressEnd = 1ULL << 36;

// ---- Host memory as the NoC reaches it (tt-kmd: wormhole.c) ----
// Through the PCIe tile at this address plus the IOVA, as long as no translation region says otherwise; what is above
// belongs to the tile's own registers.
inline constexpr Tile kPcieTile{0, 3};
inline constexpr std::uint64_t kHostAddress = 0x8'0000'0000;
inline constexpr std::uint64_t kHostBytes = 0xFFFE'0000;
// IOVAs to hand out: none at 0, which looks like a mistake, and none where x86 puts interrupt messages.
inline constexpr std::uint64_t kFirstIova = 0x10'0000;
inline constexpr std::uint64_t kEndIova = 0xFEE0'0000;

// ---- ARC as BAR0 shows it ----
inline constexpr std::uint64_t kCsm = 0x1FE8'0000;  // ARC address 0x10000000
inline constexpr std::uint32_t kCsmArcAddress = 0x1000'0000;
inline constexpr std::uint32_t kCsmBytes = 512 * 1024;
inline constexpr std::uint64_t kArcApb = 0x1FF0'0000;  // ARC address 0x80000000
inline constexpr std::uint64_t kArcNodeId = kArcApb + 0x5'002C;
inline constexpr std::uint64_t kArcNiuConfig0 = kArcApb + 0x5'0100;
inline constexpr std::uint32_t kNiuConfigTranslates = 1U << 14;

// NODE_ID: x in bits 5:0, y in 11:6 (tt-isa-documentation: NoC/MemoryMap).
inline constexpr std::uint32_t kNodeIdPlaceMask = 0xFFF;
inline constexpr std::uint32_t kArcNodePlace = 10U << 6;  // the ARC is at (0,10)

// Reset unit. 0x328 must never be touched (tt-isa-documentation: ARCTile/ResetUnit).
inline constexpr std::uint64_t kResetUnit = kArcApb + 0x3'0000;
inline constexpr std::uint64_t kPostCode = kResetUnit + 0x60;          // SCRATCH[0]
inline constexpr std::uint64_t kMessageArguments = kResetUnit + 0x6C;  // SCRATCH[3], also the first result
inline constexpr std::uint64_t kMessageResult1 = kResetUnit + 0x70;    // SCRATCH[4]
inline constexpr std::uint64_t kMessage = kResetUnit + 0x74;           // SCRATCH[5]: request, then status
// SCRATCH[6] and [7]: what the NoC finds behind the PCIe tile's host addresses (tt-kmd: wormhole.c).
inline constexpr std::uint64_t kDbiForReads = kResetUnit + 0x78;
inline constexpr std::uint64_t kDbiForWrites = kResetUnit + 0x7C;
inline constexpr std::uint32_t kDbiOpen = 0x20'0000;
inline constexpr std::uint64_t kRefclkLow = kResetUnit + 0xE0;
inline constexpr std::uint64_t kRefclkHigh = kResetUnit + 0xE4;
inline constexpr std::uint32_t kRefclkHz = 27'000'000;
inline constexpr std::uint64_t kArcMiscControl = kResetUnit + 0x100;
inline constexpr std::uint32_t kArcMiscTrigger = 1U << 16;
inline constexpr std::uint64_t kTelemetryTable = kResetUnit + 0x1D0;
inline constexpr std::uint64_t kTelemetryValues = kResetUnit + 0x1D4;

inline constexpr std::uint32_t kPostCodeMask = 0xFFFF'0000;
inline constexpr std::uint32_t kPostCodeUp = 0xC0DE'0000;
inline constexpr std::uint32_t kMessagePrefix = 0xAA00;
inline constexpr std::uint32_t kAllOnes = 0xFFFF'FFFF;

// ---- ARC messages (tt-kmd: wormhole.c, tt-umd: arc_messenger) ----
namespace message {
inline constexpr std::uint8_t kNop = 0x11;
inline constexpr std::uint8_t kTriggerReset = 0x56;
inline constexpr std::uint8_t kHarvesting = 0x57;
inline constexpr std::uint8_t kState0 = 0xA0;
inline constexpr std::uint8_t kDate = 0xB7;
inline constexpr std::uint8_t kBoardWatchdogSeconds = 0xBC;
}  // namespace message
inline constexpr std::uint16_t kResetAsic = 0;
inline constexpr std::uint16_t kResetBoard = 3;

// ---- Tensix and Ethernet tiles (tt-isa-documentation: WormholeB0/TensixTile/BabyRISCV, NoC/Counters; tt-umd) ----
// RISCV_DEBUG_REG_SOFT_RESET_0, 1 holds. The bits not named here reset parts of the coprocessor.
inline constexpr std::uint64_t kSoftReset = 0xFFB1'21B0;
inline constexpr std::uint32_t kSoftResetBrisc = 1U << 11;
inline constexpr std::uint32_t kSoftResetTrisc0 = 1U << 12;
inline constexpr std::uint32_t kSoftResetTrisc1 = 1U << 13;
inline constexpr std::uint32_t kSoftResetTrisc2 = 1U << 14;
inline constexpr std::uint32_t kSoftResetNcrisc = 1U << 18;
inline constexpr std::uint32_t kSoftResetErisc = 1U << 11;

inline constexpr std::uint64_t kNiu0 = 0xFFB2'0000;
inline constexpr std::uint64_t kNiu1 = 0xFFB3'0000;
// Which of the four request initiators still have a command that was not accepted.
inline constexpr std::uint64_t kNiuCommandsBusy = 0x54;
inline constexpr std::uint32_t kNiuCommandsMask = 0xF;
// Counters at 0x200 + 4 * i; of what the tile asks as a master: 16..31 NIU_MST_REQS_OUTSTANDING_ID(0..15) count
// requests whose answer has not come, 32..47 NIU_MST_WRITE_REQS_OUTGOING_ID(0..15) writes whose data has not all left.
// 8 bits each.
inline constexpr std::uint64_t kNiuRequestsOutstanding = 0x240;
inline constexpr std::uint64_t kNiuWritesOutgoing = 0x280;
inline constexpr std::size_t kTransactionIds = 16;
inline constexpr std::uint32_t kOutstandingMask = 0xFF;

// ---- NoC grid, NoC #0 coordinates (tt-isa-documentation: WormholeB0/NoC/Coordinates) ----
inline constexpr std::uint8_t kGridWidth = 10;
inline constexpr std::uint8_t kGridHeight = 12;

}  // namespace warden::chip::wormhole
