// SPDX-License-Identifier: Apache-2.0
// What tests of windows and DMA memory ask of a host.
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/e2e/wardend_stack.h"
#include "tools/libwarden/client.h"

namespace warden::test {

[[nodiscard]] inline std::vector<std::byte> pattern(std::size_t size_bytes) {
  std::vector<std::byte> data(size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) data[i] = static_cast<std::byte>(i % 251 + 1);
  return data;
}

// How many DMA memories a process holds a descriptor of: in the simulator, each that is mapped for the card.
[[nodiscard]] inline std::size_t dma_descriptors(int pid) {
  std::size_t count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    const auto target = std::filesystem::read_symlink(entry.path(), error);
    if (target.string().starts_with("/memfd:warden-dma")) ++count;
  }
  return count;
}

// Kills the worker and waits for the next one.
[[nodiscard]] inline bool replace_worker(Session& session) {
  const auto connection = session.client().connection();
  const shm::DirectoryHeader& head = connection->directory().header();
  const std::uint32_t starts = head.worker_starts.load();
  if (::kill(static_cast<int>(head.worker_pid.load()), SIGKILL) != 0) return false;
  return eventually([&] { return head.worker_starts.load() != starts; });
}

}  // namespace warden::test
