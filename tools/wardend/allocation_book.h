// SPDX-License-Identifier: Apache-2.0
// The records of one bridged process, in memory that outlives the worker, written so that a kill between any two
// stores leaves exact sums.
//
//   header with a journal of one entry | records[1,048,576] (sparse: pages appear as they are used)
//
// Each change is one record replaced by another. The new one is written to the journal, the journal is marked valid,
// the record is copied to its place, the message that asked for it is marked done, the journal is marked invalid.
// Whoever opens the book after a kill finds the journal valid and copies again, or finds it invalid and the message
// still to be done: never both. Sums are not stored but counted while the book is opened.
#pragma once

#include <array>
#include <atomic>
#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/memory.h"
#include "tools/wardend/allocation_wire.h"

namespace warden::daemon {

// What a buffer id is an id of: the three name their things independently of each other.
enum class AllocationSpace : std::uint8_t { kBuffer = 0, kCb = 1, kKernel = 2 };

struct AllocationRecord {
  std::uint32_t live;  // 0: the place is free
  std::uint8_t space;  // AllocationSpace
  std::uint8_t kind;   // AllocationKind
  std::uint8_t kernel_type;
  std::uint8_t reserved0;
  std::int32_t device;
  std::uint32_t references;
  std::uint64_t buffer_id;
  std::uint64_t size_bytes;
  std::uint64_t timestamp;    // the client's, nanoseconds
  std::int32_t reported_pid;  // what the client called itself
  std::uint32_t reserved1;
  std::uint64_t reserved2[2];

  // A buffer that is shared is there once; circular buffers and kernels take their size anew each time.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
};
static_assert(sizeof(AllocationRecord) == 64);

struct AllocationSums {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::map<std::int32_t, std::array<std::uint64_t, kAllocationKinds>> bytes_by_device;
};

// Owner: the worker's main loop. Not thread-safe.
class AllocationBook {
 public:
  static constexpr std::uint32_t kCapacity = 1U << 20;
  // Of one process: no sum over all of them overflows.
  static constexpr std::uint64_t kMaxBytes = 1ULL << 50;
  static constexpr std::uint32_t kMaxReferences = 1U << 20;

  enum class Outcome : std::uint8_t {
    kChanged,
    kUnknown,   // freed what was never recorded: allocated before it was watched, as clients do
    kFull,      // no place left; not recorded
    kNonsense,  // more bytes or references than can be; not recorded
  };

  [[nodiscard]] static Result<AllocationBook> create();
  // A predecessor's: finishes what it was killed in, and has the message that asked for it marked done, by its tag.
  // kProtocol when the memory is no book.
  [[nodiscard]] static Result<AllocationBook> adopt(UniqueFd memory,
                                                    const std::function<void(std::uint32_t tag)>& mark_done);

  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
  // A request that is no question. `mark_done` is called when the change can't be lost any more, or when there is
  // none; `tag` says whose message it was. Without `may_add` nothing new is recorded (kFull).
  Outcome apply(const AllocationRequest& request, std::uint32_t tag, bool may_add,
                const std::function<void()>& mark_done);

  [[nodiscard]] const AllocationSums& sums() const noexcept { return sums_; }
  // The first live record at or behind `place`, which moves behind it; for walks that may take a while.
  [[nodiscard]] std::optional<AllocationRecord> next(std::uint32_t& place) const;

 private:
  struct Header;
  struct Key {
    std::uint64_t buffer_id = 0;
    std::uint64_t size_bytes = 0;
    std::int32_t device = 0;
    AllocationSpace space{};
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };

  AllocationBook(shm::Memory memory, boost::interprocess::mapped_region region)
      : memory_(std::move(memory)), region_(std::move(region)) {}

  [[nodiscard]] static Key key_of(const AllocationRequest& request) noexcept;
  [[nodiscard]] static Key key_of(const AllocationRecord& record) noexcept;
  [[nodiscard]] Header& header() const noexcept;
  [[nodiscard]] AllocationRecord* records() const noexcept;
  [[nodiscard]] Outcome allocate(const AllocationRequest& request, bool may_add, std::uint32_t& place,
                                 AllocationRecord& record);
  [[nodiscard]] Outcome free(const AllocationRequest& request, std::uint32_t& place, AllocationRecord& record);
  void commit(std::uint32_t place, const AllocationRecord& record, std::uint32_t tag,
              const std::function<void()>& mark_done);
  void finish_journal(const std::function<void(std::uint32_t tag)>& mark_done);
  [[nodiscard]] Status read_all();
  void count(const AllocationRecord& record, bool add);

  shm::Memory memory_;
  boost::interprocess::mapped_region region_;
  std::unordered_map<Key, std::uint32_t, KeyHash> places_;
  std::vector<std::uint32_t> free_places_;
  AllocationSums sums_;
};

}  // namespace warden::daemon
