// SPDX-License-Identifier: Apache-2.0
// Registers of the debug block and of the two NIUs of a Tensix or Ethernet tile.
#include "driver/chip/core_control.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

// Bits of RISCV_DEBUG_REG_SOFT_RESET_0.
std::uint32_t register_bits_of(Cores cores) {
  constexpr std::array kBits{
      std::pair{kBrisc, wormhole::kSoftResetBrisc},   std::pair{kTrisc0, wormhole::kSoftResetTrisc0},
      std::pair{kTrisc1, wormhole::kSoftResetTrisc1}, std::pair{kTrisc2, wormhole::kSoftResetTrisc2},
      std::pair{kNcrisc, wormhole::kSoftResetNcrisc}, std::pair{kErisc, wormhole::kSoftResetErisc}};
  std::uint32_t bits = 0;
  for (const auto& [core, bit] : kBits) {
    if ((cores.bits & core.bits) != 0) bits |= bit;
  }
  return bits;
}

// The counters of one kind, one for each transaction id.
using PerTransaction = std::array<std::uint32_t, wormhole::kTransactionIds>;

std::uint32_t sum_of(const PerTransaction& counters) {
  std::uint32_t sum = 0;
  for (const std::uint32_t counter : counters) sum += counter & wormhole::kOutstandingMask;
  return sum;
}

}  // namespace

Result<TileKind> CoreControl::kind_with_cores(Tile tile) const {
  const auto place = grid_.resolve(tile);
  if (!place) return std::unexpected(place.error());
  if (place->kind == TileKind::kTensix || place->kind == TileKind::kEthernet) return place->kind;
  return fail(Code::kInvalidArgument,
              fmt::format("tile ({},{}) is {} and has no cores", tile.x, tile.y, to_string(place->kind)));
}

Status CoreControl::hold_in_reset(Tile tile, Cores cores) {
  const auto kind = kind_with_cores(tile);
  if (!kind) return std::unexpected(kind.error());
  const Cores there = *kind == TileKind::kTensix ? kTensixCores : kErisc;
  if (cores.bits == 0 || (cores.bits & ~there.bits) != 0) {
    return fail(Code::kInvalidArgument, fmt::format("tile ({},{}) is {} and has not the cores {:#x}", tile.x, tile.y,
                                                    to_string(*kind), cores.bits));
  }
  constexpr CardAddress kRegister{wormhole::kSoftReset};
  const std::uint32_t wanted = register_bits_of(cores);
  const auto before = memory_.read32(grid_, tile, kRegister);
  if (!before) return std::unexpected(before.error());
  if (auto written = memory_.write32(grid_, tile, kRegister, *before | wanted); !written) return written;
  // The write is posted; reading behind it waits until it has arrived.
  const auto after = memory_.read32(grid_, tile, kRegister);
  if (!after) return std::unexpected(after.error());
  if ((*after & wanted) == wanted) return {};
  return fail(Code::kFailed, fmt::format("cores {:#x} of tile ({},{}) did not go into reset: the register reads {:#x}",
                                         wanted, tile.x, tile.y, *after));
}

Result<NocTraffic> CoreControl::outstanding(Tile tile) {
  if (const auto kind = kind_with_cores(tile); !kind) return std::unexpected(kind.error());
  NocTraffic traffic;
  for (std::size_t noc = 0; noc < traffic.nocs.size(); ++noc) {
    const std::uint64_t niu = noc == 0 ? wormhole::kNiu0 : wormhole::kNiu1;
    // Commands first: one that is accepted meanwhile is in the counters that are read after it.
    const auto commands = memory_.read32(grid_, tile, {niu + wormhole::kNiuCommandsBusy});
    if (!commands) return std::unexpected(commands.error());
    std::array<PerTransaction, 2> counters{};
    static_assert(wormhole::kNiuWritesOutgoing == wormhole::kNiuRequestsOutstanding + sizeof(PerTransaction));
    auto read = memory_.read(grid_, tile, {niu + wormhole::kNiuRequestsOutstanding},
                             std::as_writable_bytes(std::span(counters)));
    if (!read) return std::unexpected(std::move(read).error());
    traffic.nocs[noc] = {.commands = *commands & wormhole::kNiuCommandsMask,
                         .requests = sum_of(counters[0]),
                         .writes = sum_of(counters[1])};
  }
  return traffic;
}

bool NocTraffic::is_quiet() const noexcept {
  for (const PerNoc& noc : nocs) {
    if (noc.commands != 0 || noc.requests != 0 || noc.writes != 0) return false;
  }
  return true;
}

std::string to_string(const NocTraffic& traffic) {
  std::string text;
  for (std::size_t noc = 0; noc < traffic.nocs.size(); ++noc) {
    const NocTraffic::PerNoc& now = traffic.nocs[noc];
    text += fmt::format("{}NoC #{}: {} requests unanswered, {} writes leaving, initiators busy {:#x}",
                        noc == 0 ? "" : "; ", noc, now.requests, now.writes, now.commands);
  }
  return text;
}

}  // namespace warden::chip
