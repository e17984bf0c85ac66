// SPDX-License-Identifier: Apache-2.0
// The request initiators of a network interface: four sets of registers by which a core sends reads, writes, inline
// stores and atomics into the NoC, and the counters that tell it what has become of them. Transfers take no time.
// Source: tt-isa-documentation (NoC: MemoryMap, Counters).
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>

#include "tools/sim/grid.h"
#include "tools/sim/noc.h"

namespace warden::sim {

// Indices of the counters, which lie at 0x200 in the interface's page. 32 bits wide, they wrap.
enum class NocCounter : std::uint8_t {
  kAtomicResponses = 0,
  kWriteAcks = 1,
  kReadResponses = 2,
  kReadDataWords = 3,
  kCommandsAccepted = 4,
  kReadRequestsSent = 5,
  kAtomicsSent = 6,  // not posted; the next is posted, and so on
  kPostedAtomicsSent = 7,
  kWriteDataWordsSent = 8,
  kPostedWriteDataWordsSent = 9,
  kWriteRequestsSent = 10,
  kPostedWriteRequestsSent = 11,
  kReadRequestsStarted = 12,
  kAtomicsStarted = 13,
  kWriteRequestsStarted = 14,
  kPostedWriteRequestsStarted = 15,
  kOutstandingById = 16,    // 16 of them, 8 bits each
  kWritesOutgoingById = 32  // likewise: the source of a write may not be reused yet
};

class NocInitiators {
 public:
  static constexpr unsigned kInitiators = 4;
  static constexpr unsigned kCounters = 64;
  static constexpr std::size_t kDataWordBytes = 32;  // one flit
  static constexpr std::size_t kPacketBytes = 8192;

  NocInitiators(const Grid& grid, Coordinate tile, bool noc1, Noc* noc)
      : grid_(grid), tile_(tile), noc1_(noc1), noc_(noc) {}

  // Offsets inside the interface's page, word-aligned.
  [[nodiscard]] static bool contains(std::uint64_t offset) noexcept;
  [[nodiscard]] std::uint32_t read_word(std::uint64_t offset) const noexcept;
  // A request that the hardware has no answer to is never accepted: its CMD_CTRL keeps reading 1, until the reset of
  // the chip. One that gets no answer leaves its transaction outstanding.
  void write_word(std::uint64_t offset, std::uint32_t value);
  // NOC_CLEAR_OUTSTANDING_REQ_CNT: by mask of transaction ids.
  [[nodiscard]] std::span<const std::byte> counters() const noexcept { return std::as_bytes(std::span(counters_)); }
  void clear_outstanding(std::uint32_t mask) noexcept;
  void reset() noexcept;

  [[nodiscard]] std::uint32_t& counter(NocCounter which, unsigned offset = 0) noexcept {
    return counters_[static_cast<unsigned>(which) + offset];
  }
  // Bit b: initiator b has a request that is not accepted.
  [[nodiscard]] std::uint32_t busy_mask() const noexcept;

 private:
  static constexpr unsigned kRegisters = 11;
  using Registers = std::array<std::uint32_t, kRegisters>;
  struct Request;

  [[nodiscard]] bool is_own(unsigned x, unsigned y) const noexcept;
  // Whether the hardware takes the request.
  [[nodiscard]] bool run(const Registers& registers);
  [[nodiscard]] bool run_read(const Request& request);
  [[nodiscard]] bool run_write(const Request& request);
  [[nodiscard]] bool run_inline(const Request& request);
  [[nodiscard]] bool run_atomic(const Request& request);
  void count_write(const Request& request, std::size_t bytes, unsigned receivers, bool answered);
  [[nodiscard]] MulticastResult deliver(const Request& request, std::uint64_t offset, std::span<const std::byte> data);

  const Grid& grid_;
  Coordinate tile_;
  bool noc1_;
  Noc* noc_;  // none: the tile's interface sends nothing
  std::array<Registers, kInitiators> registers_{};
  std::array<std::uint32_t, kCounters> counters_{};
};

}  // namespace warden::sim
