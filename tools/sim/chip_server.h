// SPDX-License-Identifier: Apache-2.0
// One chip's socket and the thread that serves it: one client at a time, as the kernel's VFIO has it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/vfio/vfio_user_server.h"
#include "tools/sim/chip_function.h"
#include "tools/sim/listening_socket.h"

namespace warden::sim {

class ChipServer {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ChipServer>> start(const std::string& path, const ChipOptions& options,
                                                                 NowFunction now, std::function<void()> has_work);
  ChipServer(const ChipServer&) = delete;
  ChipServer& operator=(const ChipServer&) = delete;
  // Drops the client and waits for the thread.
  ~ChipServer();

  [[nodiscard]] const ListeningSocket& listener() const noexcept { return listener_; }
  [[nodiscard]] ChipFunction& function() noexcept { return function_; }

  // Hands over a peer that was accepted; gives it back if the chip is in use. Any thread.
  [[nodiscard]] std::optional<UniqueFd> offer(UniqueFd peer);
  [[nodiscard]] bool in_use();
  [[nodiscard]] std::uint64_t clients_refused() const noexcept { return refused_; }
  [[nodiscard]] std::uint64_t clients_dropped() const noexcept { return dropped_; }

 private:
  ChipServer(ListeningSocket listener, const ChipOptions& options, NowFunction now, std::function<void()> has_work);
  void run();
  void serve_one(vfio::VfioUserSession& session);

  ListeningSocket listener_;
  ChipFunction function_;
  std::atomic<std::uint64_t> refused_ = 0;  // relaxed counters, read for statistics only
  std::atomic<std::uint64_t> dropped_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  UniqueFd next_;
  std::unique_ptr<vfio::VfioUserSession> session_;  // replaced by the thread alone
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace warden::sim
