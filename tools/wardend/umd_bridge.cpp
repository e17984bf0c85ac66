// SPDX-License-Identifier: Apache-2.0
// Starting, stopping and routing between the two directions.
#include "tools/wardend/umd_bridge.h"

#include <spdlog/spdlog.h>

namespace warden::daemon {
namespace {

constexpr std::string_view kKeptName = "umd-inbox";

// A tt-umd notifier resets two seconds after its byte, whatever anybody says: by then our listeners must have been
// heard and the card looked at.
constexpr std::chrono::milliseconds kExternalTimeout{1500};

}  // namespace

Result<std::unique_ptr<UmdBridge>> UmdBridge::open(const Options& options, KeptTable& kept, KeeperLink& keeper,
                                                   int keeper_pid) {
  const auto entry = kept.find(kKeptName);
  const bool known = entry != kept.end() && entry->second.fds.size() == 1;
  auto inbox = known ? UmdInbox::adopt(options.directory, keeper_pid, std::move(entry->second.fds.front()))
                     : UmdInbox::open(options.directory, keeper_pid);
  if (!inbox) return wrap(std::move(inbox).error(), "--umd-listeners");
  if (!known) {
    const int listener = inbox->listener();
    if (Status told = keeper.keep(kKeptName, {}, {&listener, 1}); !told) return std::unexpected(told.error());
  }
  return std::unique_ptr<UmdBridge>(new UmdBridge(options, std::move(*inbox)));
}

void UmdBridge::hear(ResetQueue& resets, const Devices& devices,
                     const std::function<bool(int socket)>& has_operator_right) {
  const auto may_speak = [&](int socket) {
    if (has_operator_right(socket)) return true;
    spdlog::warn("a tt-umd notifier without the operator right was not listened to");
    return false;
  };
  for (const UmdMessage message : inbox_.receive(may_speak)) {
    if (message == UmdMessage::kPostReset) {
      resets.end_external();
      continue;
    }
    // The byte names no device: all of them.
    auto all = devices.select({});
    if (!all) continue;
    ResetRecord order;
    order.devices = std::move(*all);
    order.cause = "external";
    order.timeout = kExternalTimeout;
    order.extension_cap = std::chrono::milliseconds(0);
    if (!resets.begin_external(std::move(order))) spdlog::info("an external reset is under way already");
  }
}

}  // namespace warden::daemon
