// SPDX-License-Identifier: Apache-2.0
// Sums and lines of the report.
#include "tools/wardend/allocation_report.h"

#include <fmt/format.h>

#include <map>

namespace warden::daemon {
namespace {

constexpr int kBoxColumns = 62;

struct Sum {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  void add(const RemainingBuffer& buffer) {
    count += buffer.count;
    bytes += buffer.bytes;
  }
};

struct Process {
  std::string title;
  Sum sum;
  std::map<int, std::map<std::string, Sum>> by_device;
};

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.2f} MB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

std::string box(const std::string& title) {
  std::string rule;
  for (int i = 0; i < kBoxColumns; ++i) rule += "═";
  return fmt::format("╔{}╗\n║{:<{}}║\n╚{}╝\n", rule, title, kBoxColumns, rule);
}

std::string title_of(const RemainingBuffer& buffer) {
  std::string title = fmt::format("PID {}", buffer.pid);
  if (!buffer.name.empty()) title += " (" + buffer.name + ")";
  if (buffer.own_pid != 0 && buffer.own_pid != buffer.pid) title += fmt::format(", {} to itself", buffer.own_pid);
  return title;
}

}  // namespace

std::string format_remaining(std::span<const RemainingBuffer> buffers) {
  Sum all;
  std::map<int, Process> by_process;
  for (const RemainingBuffer& buffer : buffers) {
    Process& process = by_process[buffer.pid];
    process.title = title_of(buffer);
    for (Sum* sum : {&all, &process.sum, &process.by_device[buffer.device][buffer.kind]}) sum->add(buffer);
  }
  std::string text = box("           REMAINING ALLOCATED BUFFERS");
  text += fmt::format("Total tracked allocations: {}\n", all.count);
  if (all.count == 0) return text + "\n✓ No buffers remaining - perfect cleanup!\n";
  text += fmt::format("Total size: {}\n", megabytes(all.bytes));
  for (const auto& [pid, process] : by_process) {
    text += fmt::format("\n{}: {} buffers, {}\n", process.title, process.sum.count, megabytes(process.sum.bytes));
    for (const auto& [device, kinds] : process.by_device) {
      text += fmt::format("  Device {}:\n", device);
      for (const auto& [kind, sum] : kinds) {
        text += fmt::format("    {}: {} buffers, {}\n", kind, sum.count, megabytes(sum.bytes));
      }
    }
  }
  return text;
}

}  // namespace warden::daemon
