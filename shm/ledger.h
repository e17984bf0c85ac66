// SPDX-License-Identifier: Apache-2.0
// A client's ledger and the common doorbell, from both sides.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <chrono>
#include <cstdint>

#include <warden/result.h>

#include "shm/allocation_reader.h"
#include "shm/death_actions.h"
#include "shm/ledger_layout.h"
#include "shm/memory.h"

namespace warden::shm {

// wardend's side: made by wardend, sealed (SHRINK, GROW, SEAL), mapped read-only. Only the client maps it writable.
class LedgerReader {
 public:
  [[nodiscard]] static Result<LedgerReader> create(std::uint64_t session_id);
  // A ledger that the keeper kept over a worker's death, or that a client hands back: kind of file, seals, size and
  // layout are checked, exactly. Whether another session has it already is for the caller to find out: see file_id().
  [[nodiscard]] static Result<LedgerReader> adopt(UniqueFd fd);
  [[nodiscard]] std::uint64_t acknowledged_reset_id() const noexcept;
  // When, as the client says (CLOCK_BOOTTIME): only to be told, never to be relied on. Read it after the id.
  [[nodiscard]] std::uint64_t acknowledged_time_ns() const noexcept;
  // What the client holds on the cards.
  [[nodiscard]] AllocationReader allocations() const noexcept { return AllocationReader(memory_.fd()); }
  // What it wants done to the cards when it has ended.
  [[nodiscard]] DeathActionReader death_actions() const noexcept { return DeathActionReader(memory_.fd()); }
  [[nodiscard]] Memory::FileId file_id() const noexcept { return file_id_; }
  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }

 private:
  LedgerReader(Memory memory, boost::interprocess::mapped_region region, Memory::FileId file_id) noexcept;
  [[nodiscard]] static Result<LedgerReader> map(Memory memory);
  Memory memory_;
  boost::interprocess::mapped_region region_;  // the header alone
  Memory::FileId file_id_;
};

// The client's side. Mapped MADV_DONTFORK: a child has none.
class LedgerWriter {
 public:
  [[nodiscard]] static Result<LedgerWriter> open(UniqueFd fd, std::uint64_t session_id);
  // A new wardend has taken it over under this number.
  void rename(std::uint64_t session_id) noexcept;
  void acknowledge(std::uint64_t reset_id) noexcept;
  [[nodiscard]] std::uint64_t acknowledged_reset_id() const noexcept;
  [[nodiscard]] Result<Memory::FileId> file_id() const { return memory_.file_id(); }
  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
  // For an AllocationWriter. Stays where it is while the ledger is open, also when this object is moved.
  [[nodiscard]] std::byte* start() const noexcept { return static_cast<std::byte*>(region_.get_address()); }

 private:
  LedgerWriter(Memory memory, boost::interprocess::mapped_region region) noexcept;
  Memory memory_;
  boost::interprocess::mapped_region region_;
};

class DoorbellMemory {
 public:
  [[nodiscard]] static Result<DoorbellMemory> create();           // wardend's keeper
  [[nodiscard]] static Result<DoorbellMemory> open(UniqueFd fd);  // a client, or a new worker

  [[nodiscard]] std::uint32_t count() const noexcept;
  // Adds one; wakes wardend only when the sum has come to `target`.
  void ring(std::uint32_t target) noexcept;
  // Wakes a waiting wardend whatever the sum (wardend's own threads use it for other news).
  void wake() noexcept;
  void wait(std::uint32_t seen, std::chrono::nanoseconds bound) const noexcept;
  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }

 private:
  DoorbellMemory(Memory memory, boost::interprocess::mapped_region region) noexcept;
  Memory memory_;
  boost::interprocess::mapped_region region_;
};

}  // namespace warden::shm
