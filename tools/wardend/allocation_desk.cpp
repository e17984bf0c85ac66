// SPDX-License-Identifier: Apache-2.0
// Rows in a sealed memfd.
#include "tools/wardend/allocation_desk.h"

#include <fcntl.h>

#include "tools/wardend/kill_point.h"

namespace warden::daemon {
namespace {

constexpr std::size_t kDeskBytes = sizeof(AllocationRow) * AllocationDesk::kRows;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

void AllocationRow::mark_done() noexcept {
  // The form first: who finds the message still there comes here again.
  if (form == static_cast<std::uint32_t>(AllocationForm::kUnknown)) {
    form = static_cast<std::uint32_t>(AllocationForm::kAwaitTail);
  }
  kill_point();
  message[0] = std::byte{0};
  kill_point();
}

Result<AllocationDesk> AllocationDesk::create() {
  Result<shm::Memory> memory = shm::Memory::create("warden-allocation-desk", kDeskBytes);
  if (!memory) return std::unexpected(std::move(memory).error());
  if (Status sealed = memory->seal(kSeals); !sealed) return std::unexpected(sealed.error());
  auto region = memory->map(boost::interprocess::read_write);
  if (!region) return std::unexpected(std::move(region).error());
  return AllocationDesk(std::move(*memory), std::move(*region));
}

Result<AllocationDesk> AllocationDesk::adopt(UniqueFd fd) {
  shm::Memory memory(std::move(fd));
  if (Status checked = memory.check(kDeskBytes, kSeals); !checked) return std::unexpected(checked.error());
  auto region = memory.map(boost::interprocess::read_write);
  if (!region) return std::unexpected(std::move(region).error());
  return AllocationDesk(std::move(memory), std::move(*region));
}

AllocationRow& AllocationDesk::row(std::uint32_t index) const noexcept {
  return static_cast<AllocationRow*>(region_.get_address())[index];
}

std::optional<std::uint32_t> AllocationDesk::take(std::uint64_t connection) noexcept {
  for (std::uint32_t index = 0; index < kRows; ++index) {
    AllocationRow& free_row = row(index);
    if (free_row.connection != 0) continue;
    free_row = {};
    kill_point();
    free_row.connection = connection;
    return index;
  }
  return std::nullopt;
}

void AllocationDesk::give_back(std::uint32_t index) noexcept { row(index).connection = 0; }

}  // namespace warden::daemon
