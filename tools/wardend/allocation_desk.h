// SPDX-License-Identifier: Apache-2.0
// Where messages of bridged clients lie between being taken from their sockets and being done with, in memory that
// outlives the worker: a row for each connection. A worker killed anywhere leaves each message in exactly one place,
// the socket's queue, its row, or a book.
//
// A message is received straight into its row: the kernel takes it from the queue and writes it in one system call.
// Its first byte, the type, is never 0, and is set to 0 when the message is done with, so a successor sees whether the
// call had happened.
#pragma once

#include <array>
#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/memory.h"
#include "tools/wardend/allocation_wire.h"

namespace warden::daemon {

// What is known of the size of a connection's messages; see allocation_wire.h.
enum class AllocationForm : std::uint32_t {
  kUnknown = 0,    // nothing was taken yet
  kAwaitTail = 1,  // 112 bytes were taken; the next one decides
  kSkipTail = 2,   // it was 0: the rest of the first message is to be taken
  kShort = 3,
  kLong = 4,
};

struct alignas(256) AllocationRow {
  std::uint64_t connection;  // 0: the row is free
  std::uint32_t form;        // AllocationForm
  std::uint32_t answering;   // an answer may have been sent in part
  std::array<std::byte, kLongMessageBytes> message;
  // Set to ones before the tail is taken, whose first byte is 0.
  std::array<std::byte, kLongTailBytes> tail;
  std::uint64_t reserved[8];

  [[nodiscard]] bool has_message() const noexcept { return message[0] != std::byte{0}; }
  // Done with it. Once more does no harm.
  void mark_done() noexcept;
};
static_assert(sizeof(AllocationRow) == 256);

// Owner: the worker's main loop. Not thread-safe.
class AllocationDesk {
 public:
  static constexpr std::uint32_t kRows = 1024;

  [[nodiscard]] static Result<AllocationDesk> create();
  // kProtocol when the memory is no desk.
  [[nodiscard]] static Result<AllocationDesk> adopt(UniqueFd memory);

  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
  [[nodiscard]] AllocationRow& row(std::uint32_t index) const noexcept;
  // A free row, given to this connection; nothing when all are taken.
  [[nodiscard]] std::optional<std::uint32_t> take(std::uint64_t connection) noexcept;
  void give_back(std::uint32_t index) noexcept;

 private:
  AllocationDesk(shm::Memory memory, boost::interprocess::mapped_region region)
      : memory_(std::move(memory)), region_(std::move(region)) {}
  shm::Memory memory_;
  boost::interprocess::mapped_region region_;
};

}  // namespace warden::daemon
