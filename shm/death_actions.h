// SPDX-License-Identifier: Apache-2.0
// Death actions from both sides: a client puts them into its ledger and takes them out, wardend reads what is there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <warden/result.h>

#include "shm/death_action_layout.h"

namespace warden::shm {

struct LedgerHeader;

struct DeathAction {
  DeathActionKind kind{};
  std::uint32_t device = 0;  // < kDeviceCapacity
  std::uint8_t x = 0, y = 0;
  std::uint64_t epoch = 0;
  std::uint64_t address = 0;
  std::uint32_t length_bytes = 0;  // 1 to kDeathActionDataBytes; of words 4
  std::array<std::byte, kDeathActionDataBytes> data{};

  [[nodiscard]] std::uint32_t word() const noexcept;
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return std::span(data).first(length_bytes); }
};

// Owner: whoever holds the ledger's mapping, which must outlive all calls. Threads: one at a time. Never in a forked
// child: the mapping is not there.
class DeathActionWriter {
 public:
  explicit DeathActionWriter(std::byte* ledger) noexcept;
  DeathActionWriter(const DeathActionWriter&) = delete;
  DeathActionWriter& operator=(const DeathActionWriter&) = delete;

  // What remove() takes; 0: all kDeathActions are taken.
  [[nodiscard]] std::uint64_t add(const DeathAction& action) noexcept;
  // False: removed before, or never given out by this writer.
  [[nodiscard]] bool remove(std::uint64_t ticket) noexcept;
  void remove_all() noexcept;

 private:
  [[nodiscard]] bool take_free_record(std::uint32_t& index) noexcept;
  void give_back(std::uint32_t index) noexcept;

  LedgerHeader& header_;
  DeathActionRecord* const records_;
  std::uint32_t free_count_ = 0;
  std::array<std::uint16_t, kDeathActions> free_;
};

// Checked copies, in the order of registration.
struct DeathActionsRead {
  std::vector<DeathAction> actions;
  std::uint32_t moving = 0;   // changed while they were read, so that nobody can have relied on them
  std::uint32_t damaged = 0;  // can't be an action
};

// Reads with pread alone, as AllocationReader does. Borrows the descriptor. Threads: any.
class DeathActionReader {
 public:
  explicit DeathActionReader(int ledger_fd) noexcept : fd_(ledger_fd) {}
  [[nodiscard]] Result<DeathActionsRead> read() const;
  // How many there are just now.
  [[nodiscard]] Result<std::uint32_t> count() const;

 private:
  int fd_;
};

}  // namespace warden::shm
