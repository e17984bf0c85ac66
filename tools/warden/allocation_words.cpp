// SPDX-License-Identifier: Apache-2.0
// See allocation_listing.h: a listing of allocations in words.
#include <fmt/format.h>

#include "tools/warden/allocation_listing.h"
#include "tools/warden/duration.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

std::string pid_text(int pid) { return pid == 0 ? "-" : std::to_string(pid); }

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string counted(std::size_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string sum_text(const AllocationSum& sum) {
  return fmt::format("{}, {}", counted(sum.records, "buffer", "buffers"), format_bytes(sum.bytes));
}

// Why the figures of a process may not be the whole truth.
std::string remarks_on(const ListedProcess& process) {
  const std::string who = fmt::format("pid {} ({})", pid_text(process.pid), process.name);
  std::string text;
  if (process.dropped > 0) {
    text += fmt::format("{}: {} not recorded, because its table was full\n", who,
                        counted(process.dropped, "more allocation", "more allocations"));
  }
  if (!process.settled) text += fmt::format("{}: at work while it was read, its sums are not of one instant\n", who);
  if (process.damaged) text += fmt::format("{}: its table holds what cannot be; that is left out\n", who);
  return text;
}

// What was not looked at.
std::string remarks_on_leaks(const AllocationListing& leaks) {
  std::string text;
  if (leaks.ageless > 0) {
    text += fmt::format("{} of the allocation server's clients left out: nobody knows their age\n",
                        counted(leaks.ageless, "record", "records"));
  }
  if (leaks.truncated) {
    text += "there are more records than are listed at once; narrow it with --pid or --device\n";
  }
  return text;
}

}  // namespace

std::string format_allocations(const AllocationListing& listing) {
  if (listing.sum.records == 0 && listing.processes.empty()) return "no allocations\n";
  std::vector<std::vector<std::string>> rows = {
      {"PID", "OWN PID", "NAME", "DEVICE", "KIND", "BUFFERS", "SIZE", "FROM"}};
  std::string remarks;
  for (const ListedProcess& process : listing.processes) {
    for (const ListedKind& kind : process.kinds) {
      rows.push_back({pid_text(process.pid), pid_text(process.own_pid), or_dash(process.name),
                      std::to_string(kind.device), kind.kind, std::to_string(kind.sum.records),
                      format_bytes(kind.sum.bytes), or_dash(process.source)});
    }
    remarks += remarks_on(process);
  }
  std::string text = format_table(rows) + "\n";
  for (const ListedDevice& device : listing.devices) {
    text += fmt::format("device {}{}: {}\n", device.device, device.name.empty() ? "" : " (" + device.name + ")",
                        sum_text(device.sum));
  }
  return text +
         fmt::format("total: {} of {}\n", sum_text(listing.sum),
                     counted(listing.processes.size(), "process", "processes")) +
         remarks;
}

std::string format_leaks(const AllocationListing& leaks, std::chrono::nanoseconds age) {
  if (leaks.processes.empty()) {
    return fmt::format("nothing is older than {}\n", format_age(age)) + remarks_on_leaks(leaks);
  }
  std::vector<std::vector<std::string>> rows = {
      {"AGE", "PID", "NAME", "THREAD", "DEVICE", "KIND", "ADDRESS", "SIZE", "TAG", "LABEL", "FROM"}};
  for (const ListedProcess& process : leaks.processes) {
    for (const ListedRecord& record : process.records) {
      rows.push_back({format_age(record.age.value_or(age)), pid_text(process.pid), or_dash(process.name),
                      record.thread == 0 ? "-" : std::to_string(record.thread), std::to_string(record.device),
                      record.kind, fmt::format("{:#x}", record.address), format_bytes(record.bytes),
                      fmt::format("{:#x}", record.tag), or_dash(record.label), or_dash(process.source)});
    }
  }
  return format_table(rows) +
         fmt::format("\nolder than {}: {} of {}\n", format_age(age), sum_text(leaks.sum),
                     counted(leaks.processes.size(), "process", "processes")) +
         remarks_on_leaks(leaks);
}

}  // namespace warden::cli
