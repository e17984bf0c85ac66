// SPDX-License-Identifier: Apache-2.0
// Words that scripts look for: keep them.
#include "tools/wardend/reaping_log.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace warden::daemon {
namespace {

// Behind the words, so that who looks for those finds them.
std::string who(const ReapedProcess& process) {
  std::string text = process.name;
  if (process.own_pid != 0 && process.own_pid != process.pid) {
    text += fmt::format("{}{} to itself", text.empty() ? "" : ", ", process.own_pid);
  }
  return text.empty() ? text : " (" + text + ")";
}

std::string removed(const ReapedProcess& process) {
  return fmt::format("   ✓ Removed {} buffers ({:.2f} MB) from PID {}", process.buffers,
                     static_cast<double>(process.bytes) / (1024.0 * 1024.0), process.pid);
}

}  // namespace

std::vector<std::string> reaping_lines(std::span<const ReapedProcess> reaped) {
  std::vector<std::string> lines;
  if (reaped.empty()) return lines;
  lines.emplace_back("⚠️  Detected dead processes, cleaning up orphaned buffers...");
  for (const ReapedProcess& process : reaped) {
    lines.push_back(fmt::format("   PID {} is dead, removing its buffers...{}", process.pid, who(process)));
    lines.push_back(removed(process));
  }
  return lines;
}

void log_reaping(std::span<const ReapedProcess> reaped) {
  for (const std::string& line : reaping_lines(reaped)) spdlog::info("{}", line);
}

void log_dismissal(const ReapedProcess& left) {
  spdlog::info("PID {} has left without dying, removing its buffers...{}", left.pid, who(left));
  spdlog::info("{}", removed(left));
}

}  // namespace warden::daemon
