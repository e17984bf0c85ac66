// SPDX-License-Identifier: Apache-2.0
// What wardend lists of allocations (docs/protocol.md), taken apart and put into words.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>

#include "tools/wardend/allocation_report.h"

namespace warden::cli {

struct AllocationSum {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};

struct ListedKind {
  int device = 0;
  std::string kind;  // "DRAM", "L1", ...
  AllocationSum sum;
};

// One single allocation.
struct ListedRecord {
  int device = 0;
  std::string kind;  // "DRAM"; "KERNEL (fabric)"
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  std::uint64_t tag = 0;
  std::optional<std::chrono::nanoseconds> age;  // nothing: a client of the allocation server, whose clock is unknown
  std::uint64_t thread = 0;                     // 0: unknown
  std::string label;
};

struct ListedProcess {
  std::string source;  // "session", or "bridge": a client of the allocation server
  int pid = 0;         // 0: wardend has no number for it
  int own_pid = 0;     // in its own PID namespace; 0: unknown
  std::string name;
  AllocationSum sum;
  std::uint64_t dropped = 0;
  bool settled = true;
  bool damaged = false;
  std::vector<ListedKind> kinds;  // by device
  std::vector<ListedRecord> records;
};

struct ListedDevice {
  int device = 0;
  std::string name;
  AllocationSum sum;
};

struct AllocationListing {
  AllocationSum sum;
  bool truncated = false;     // there are more single records than were asked for
  std::uint64_t ageless = 0;  // records that older_than() left out because nobody knows their age
  std::vector<ListedDevice> devices;
  std::vector<ListedProcess> processes;
};

// kProtocol: not JSON, or not of that shape. Text of other processes comes out printable.
[[nodiscard]] Result<AllocationListing> parse_allocations(const std::string& json);

// By process, device and kind, the totals, and what is to be known about them. Ends with a newline.
[[nodiscard]] std::string format_allocations(const AllocationListing& listing);

// Keeps the records of at least that age, oldest first, and the processes that have any.
[[nodiscard]] AllocationListing older_than(AllocationListing listing, std::chrono::nanoseconds age);
// Record by record, of a listing that was made by older_than().
[[nodiscard]] std::string format_leaks(const AllocationListing& leaks, std::chrono::nanoseconds age);
// The same from wardend's own text, as wardend writes a record, with its process's id and names added.
[[nodiscard]] Result<std::string> leaks_json(const std::string& json, std::chrono::nanoseconds age);

// For the boxed report.
[[nodiscard]] std::vector<daemon::RemainingBuffer> remaining_buffers(const AllocationListing& listing);

// Of wardend's status; empty when it has none.
[[nodiscard]] std::string allocation_server_path(const std::string& status_json);

}  // namespace warden::cli
