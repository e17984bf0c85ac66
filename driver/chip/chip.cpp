// SPDX-License-Identifier: Apache-2.0
// Which chip a device is, by its PCI id.
#include "driver/chip/chip.h"

#include <fmt/format.h>

#include "driver/chip/config_space.h"
#include "driver/chip/poll.h"
#include "driver/chip/wormhole.h"
#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

// A card may be in a reset that somebody began before: that long it may take to show itself.
constexpr std::chrono::seconds kAppearancePatience{5};

Status await_appearance(vfio::Device& device) {
  ConfigSpace config(device);
  Poll poll(std::chrono::steady_clock::now() + kAppearancePatience);
  do {
    auto vendor = config.vendor();
    if (!vendor) return std::unexpected(std::move(vendor).error());
    auto command = config.command();
    if (!command) return std::unexpected(std::move(command).error());
    if (*vendor != ConfigSpace::kNobodyThere && !ConfigSpace::is_nobody(*command)) return {};
  } while (poll.again());
  return fail(Code::kOffBus, fmt::format("the card is off the bus: its ids still read as all ones after {} s; "
                                         "power-cycle it",
                                         kAppearancePatience.count()));
}

Status check_id(vfio::Device& device) {
  ConfigSpace config(device);
  auto vendor = config.vendor();
  if (!vendor) return std::unexpected(std::move(vendor).error());
  auto id = config.device();
  if (!id) return std::unexpected(std::move(id).error());
  if (*vendor == wormhole::kVendor && *id == wormhole::kDevice) return {};
  return fail(Code::kUnsupported, fmt::format("PCI id {:04x}:{:04x} is not a Wormhole (1e52:401e)", *vendor, *id));
}

std::unexpected<Error> no_windows() { return fail(Code::kUnsupported, "this chip has no windows to reserve"); }

}  // namespace

Result<std::uint32_t> Chip::reserve_window(std::uint64_t, const WindowRequest&) { return no_windows(); }
void Chip::release_window(std::uint64_t, std::uint32_t) {}
Status Chip::read_window(std::uint64_t, std::uint32_t, std::uint64_t, std::span<std::byte>) { return no_windows(); }
Status Chip::write_window(std::uint64_t, std::uint32_t, std::uint64_t, std::span<const std::byte>) {
  return no_windows();
}
Result<std::uint32_t> Chip::read32_window(std::uint64_t, std::uint32_t, std::uint64_t) { return no_windows(); }
Status Chip::write32_window(std::uint64_t, std::uint32_t, std::uint64_t, std::uint32_t) { return no_windows(); }

Result<std::unique_ptr<Chip>> open(std::unique_ptr<vfio::Device> device, const ChipOptions& options) {
  const std::string opening = "open " + device->name();
  if (auto there = await_appearance(*device); !there) return wrap(std::move(there).error(), opening);
  if (auto known = check_id(*device); !known) return wrap(std::move(known).error(), opening);
  auto chip = Wormhole::open(std::move(device), options);
  if (!chip) return wrap(std::move(chip).error(), opening);
  return chip;
}

// The id is not checked: a card in a reset does not show it, and its name was that of a Wormhole before.
Result<std::unique_ptr<Chip>> adopt(std::unique_ptr<vfio::Device> device, std::uint64_t epoch,
                                    const ChipOptions& options) {
  const std::string adopting = "adopt " + device->name();
  auto chip = Wormhole::adopt(std::move(device), epoch, options);
  if (!chip) return wrap(std::move(chip).error(), adopting);
  return chip;
}

}  // namespace warden::chip
