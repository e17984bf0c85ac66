// SPDX-License-Identifier: Apache-2.0
// What shall be done to the cards when this process can't do it any more: words written, workers told to stop, cores
// put back into reset. Said beforehand, done by wardend when the session ends, however it ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <warden/cores.h>
#include <warden/device.h>
#include <warden/result.h>
#include <warden/session.h>
#include <warden/tile.h>

namespace warden {

// Names one registered action; 0 names none. Plain data; of no use in another process.
struct DeathActionHandle {
  std::uint64_t value = 0;
};

inline constexpr std::size_t kMaxDeathWriteBytes = 32;
inline constexpr std::uint32_t kMaxDeathActions = 1024;  // of one session

// Written to the mailbox of a worker that shall end (the value is tt-metal's).
inline constexpr std::uint32_t kWorkerTeardown = 1;

// The death actions of one session; all objects of one session share them, and they outlive the object. Registering
// and removing are a few stores into this process's own memory: no message, nothing waits, and a process that is
// killed at any instruction leaves whole actions alone.
//
// They are done at any end of the session that did not remove them: the process's death, an exec, the last reference to
// the Session gone. Order, for each card: all writes as they were registered, then all cores into reset. An action is
// done only where this session could have done it itself at that moment: with a device that it has opened and that was
// not reset since.
//
// Errors of all calls: kDisconnected in a forked child. Of those that register: kBusy when the table is full; kStale
// when the device was opened by an attachment that is over (an action of such a device is forgotten); kInvalidArgument.
// Whether the tile and the address exist is found out when it is done: try them before. Threads: any.
class DeathActions {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DeathActions>> open(std::shared_ptr<Session> session);
  DeathActions(const DeathActions&) = delete;
  DeathActions& operator=(const DeathActions&) = delete;
  ~DeathActions();

  // 1 to kMaxDeathWriteBytes bytes, copied now. `device` is one of this session.
  [[nodiscard]] Result<DeathActionHandle> write(const Device& device, Tile tile, CardAddress address,
                                                std::span<const std::byte> from);
  // One aligned 32-bit access, for registers.
  [[nodiscard]] Result<DeathActionHandle> write32(const Device& device, Tile tile, CardAddress address,
                                                  std::uint32_t value);
  // kWorkerTeardown into the worker's mailbox.
  [[nodiscard]] Result<DeathActionHandle> teardown(const Device& device, Tile tile, CardAddress mailbox) {
    return write32(device, tile, mailbox, kWorkerTeardown);
  }
  // For the cores that this process lets run. Before anything of this session is given to others, the tile must have
  // come to rest on the NoC: don't name a tile that somebody else works with.
  [[nodiscard]] Result<DeathActionHandle> reset_cores(const Device& device, Tile tile, Cores cores);

  // Once for each handle; then it is not done any more. kStale: removed before, of another session, or forgotten.
  [[nodiscard]] Status remove(DeathActionHandle handle);

 private:
  class Implementation;
  explicit DeathActions(std::unique_ptr<Implementation> implementation);
  const std::unique_ptr<Implementation> implementation_;
};

}  // namespace warden
