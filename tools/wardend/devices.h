// SPDX-License-Identifier: Apache-2.0
// The cards wardend owns: opened or taken over from a dead worker, found by name, listed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "shm/directory.h"
#include "tools/wardend/device_thread.h"
#include "tools/wardend/event_board.h"
#include "tools/wardend/journal.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

// A card as it was found.
struct OpenedCard {
  std::unique_ptr<chip::Chip> chip;
  std::string complaint;  // why it does not work; empty when it does
};

class Devices {
 public:
  // Opens each name, or goes on with the descriptors that the keeper kept of it. A card whose firmware does not come up
  // has failed and waits for a reset; one that can't be reached is lost, and tried again by reopen_lost(). Only when
  // none can be reached at all is that an error, for then it is wardend that was started wrongly. `unfinished`: the
  // reset that the last worker did not end.
  [[nodiscard]] static Result<Devices> open(const std::vector<std::string>& names, KeptTable& kept, KeeperLink& keeper,
                                            shm::DirectoryWriter& directory,
                                            const std::optional<ResetRecord>& unfinished);

  [[nodiscard]] std::size_t count() const noexcept { return threads_.size(); }
  [[nodiscard]] DeviceThread& at(std::uint32_t index) const { return *threads_[index]; }
  // By exact name or decimal number; kNotFound names those there are.
  [[nodiscard]] Result<std::uint32_t> find(std::string_view name) const;
  // All when `names` is empty. Those that the hardware resets together come along. kInvalidArgument for one named
  // twice.
  [[nodiscard]] Result<std::vector<ResetDevice>> select(const std::vector<std::string>& names) const;
  [[nodiscard]] std::string names_text() const;

  // Tries to open what is lost, each on its own thread. For each that is back `prepare` is called there before anybody
  // else reaches it, and `done` afterwards.
  struct Reopening {
    std::function<void(std::uint32_t index, chip::Chip& chip)> prepare;
    std::function<void(std::uint32_t index)> done;
  };
  void reopen_lost(KeeperLink& keeper, const Reopening& reopening) const;

  // Brings a row of the directory in line with its device.
  void publish_row(std::uint32_t index) const;
  // The event that says so.
  void publish_change(std::uint32_t index, EventBoard& board) const;

 private:
  explicit Devices(shm::DirectoryWriter& directory) : directory_(&directory) {}
  // The next one in the table; without a card it is lost.
  void add(const std::string& name, Result<OpenedCard> card, std::uint64_t epoch);
  void log_complaints() const;
  [[nodiscard]] bool goes_along(std::uint32_t index, std::uint32_t with) const;

  shm::DirectoryWriter* directory_;
  std::vector<std::unique_ptr<DeviceThread>> threads_;
  std::vector<std::vector<std::string>> dependents_;  // of each card's hot reset, by address
};

}  // namespace warden::daemon
