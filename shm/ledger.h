// SPDX-License-Identifier: Apache-2.0
// A client's ledger and the common doorbell, from both sides.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <chrono>
#include <cstdint>

#include <warden/result.h>

#include "shm/ledger_layout.h"
#include "shm/memory.h"

namespace warden::shm {

// wardend's side: made by wardend, sealed (SHRINK, GROW, SEAL), mapped read-only. Only the client maps it writable.
class LedgerReader {
 public:
  [[nodiscard]] static Result<LedgerReader> create(std::uint64_t session_id);
  // A ledger the keeper kept over a worker's death: seals, size and layout are checked.
  [[nodiscard]] static Result<LedgerReader> adopt(UniqueFd fd);
  [[nodiscard]] std::uint64_t acknowledged_reset_id() const noexcept;
  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }

 private:
  LedgerReader(Memory memory, boost::interprocess::mapped_region region) noexcept;
  Memory memory_;
  boost::interprocess::mapped_region region_;
};

// The client's side. Mapped MADV_DONTFORK: a child has none.
class LedgerWriter {
 public:
  [[nodiscard]] static Result<LedgerWriter> open(UniqueFd fd, std::uint64_t session_id);
  void acknowledge(std::uint64_t reset_id) noexcept;
  [[nodiscard]] std::uint64_t acknowledged_reset_id() const noexcept;

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
