// SPDX-License-Identifier: Apache-2.0
// One PCI function as VFIO shows it, whatever stands behind: a socket (vfio-user) or the kernel (vfio-pci).
// Regions and interrupts are numbered as in <linux/vfio.h> (VFIO_PCI_BAR0_REGION_INDEX ...).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/vfio/mapping.h"

namespace warden::vfio {

// Addresses of three different worlds; mixing them does not compile. (The third, an address on the card, is
// chip::CardAddress.)
struct Iova {
  std::uint64_t value = 0;  // as the card sees host memory
  auto operator<=>(const Iova&) const = default;
};

struct DeviceInfo {
  std::uint32_t region_count = 0;
  std::uint32_t irq_count = 0;
  bool can_reset = false;  // VFIO_DEVICE_FLAGS_RESET
};

struct RegionArea {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

struct RegionInfo {
  std::uint32_t index = 0;
  std::uint64_t size_bytes = 0;  // 0: this function has no such region
  bool readable = false;
  bool writable = false;
  bool mappable = false;  // map() may be tried; otherwise every access is trapped
  // Where a mapping may lie when only parts of the region allow one (sparse), ascending; empty: anywhere in it.
  std::vector<RegionArea> mappable_areas = {};
};

// Kinds of interrupt, by their VFIO_PCI_*_IRQ_INDEX. The last two are the kernel's own: an error that the bus reported,
// and the wish to have the device back (unbinding, surprise removal): it is granted by closing the device.
inline constexpr std::uint32_t kIntxIrq = 0;
inline constexpr std::uint32_t kMsiIrq = 1;
inline constexpr std::uint32_t kMsixIrq = 2;
inline constexpr std::uint32_t kErrorIrq = 3;
inline constexpr std::uint32_t kRequestIrq = 4;

struct IrqInfo {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
  bool eventfd = false;
  // Level-triggered (INTx): each signal masks it. Make the card take its level back, then unmask_irq(); a level that
  // still stands signals again at once.
  bool automasked = false;
};

enum class DmaAccess : std::uint32_t { kCardReads = 1, kCardWrites = 2, kBoth = 3 };

// Both ends belong to it, so that a range may reach the last address there is.
struct IovaRange {
  Iova first;
  Iova last;
};

struct DmaLimits {
  std::vector<IovaRange> usable;                 // what dma_map() may use, ascending: reserved regions are left out
  std::uint64_t page_sizes = 0;                  // one bit a size, in bytes; the lowest is the unit of every mapping
  std::optional<std::uint32_t> mappings_left{};  // how many more dma_map() may make, where the kernel tells
};

// A function that a hot reset takes along.
struct HotResetDependent {
  std::string address;                      // 0000:01:00.0
  std::optional<std::uint32_t> group = {};  // its IOMMU group, where the backend learns it
  bool is_ours = false;                     // this process has it (its group) open, so that the reset is allowed
};

struct HotResetInfo {
  std::vector<HotResetDependent> dependents;  // every function of that bus or slot, this one among them
};

// Owner: whoever opened it. Threads: every call may be made from any thread; calls on one device are serialised by
// the backend where the transport demands it. Errors: kOffBus is never made up here (all ones are data at this
// level); kDisconnected when the card or its simulator is gone for good; kTimeout names what was awaited.
class Device {
 public:
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  // As the user named it: `vfio-user:/path/to.sock` or `0000:01:00.0`.
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
  [[nodiscard]] virtual DeviceInfo info() const noexcept = 0;
  [[nodiscard]] virtual Result<RegionInfo> region(std::uint32_t index) const = 0;
  [[nodiscard]] virtual Result<IrqInfo> irq(std::uint32_t index) const = 0;

  // Trapped access, any length and alignment inside the region; a length of 1, 2, 4 or 8 at its natural alignment
  // reaches the card as one access. Longer ones are cut as the transport needs, in ascending order.
  [[nodiscard]] virtual Status read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) = 0;
  [[nodiscard]] virtual Status write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) = 0;

  // kUnsupported where the region can't be mapped. Stale after reset(), hot_reset() and revoke_mappings().
  [[nodiscard]] virtual Result<Mapping> map(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) = 0;

  // Vectors start..start+fds.size()-1 of interrupt `index` signal these eventfds (borrowed for the call only).
  [[nodiscard]] virtual Status set_irq_eventfds(std::uint32_t index, std::uint32_t start, std::span<const int> fds) = 0;
  // Takes every eventfd of interrupt `index` away.
  [[nodiscard]] virtual Status disable_irqs(std::uint32_t index) = 0;
  // Lets an automasked interrupt signal again; kUnsupported for one that is none.
  [[nodiscard]] virtual Status unmask_irq(std::uint32_t index) = 0;

  [[nodiscard]] virtual Result<DmaLimits> dma_limits() = 0;
  // Makes size_bytes of the file `memory` (from offset) visible to the card at `iova`. Page-aligned throughout.
  // Functions of one IOMMU group see the same mappings.
  [[nodiscard]] virtual Status dma_map(Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset,
                                       DmaAccess access) = 0;
  [[nodiscard]] virtual Status dma_unmap(Iova iova, std::uint64_t size_bytes) = 0;

  // Makes every mapping of this device fault from now on. For resets behind VFIO's back (a message to the card), after
  // which an old mapping would silently show the new card.
  void revoke_mappings() noexcept { mappings_.revoke_all(); }

  // The function reset that the kernel (or the server) chooses; config space is saved and restored around it.
  [[nodiscard]] virtual Status reset() = 0;
  [[nodiscard]] virtual Result<HotResetInfo> hot_reset_info() = 0;
  // Resets the bus or slot with every function on it. `others` are further devices of this process that go along:
  // without all dependents in hand the kernel refuses.
  [[nodiscard]] virtual Status hot_reset(std::span<Device* const> others = {}) = 0;

  // The descriptors that keep this device open, in the order adopt() wants them. Borrowed. vfio-user: the socket.
  // Kernel: device, group, container; or device, iommufd.
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;

 protected:
  Device() = default;

  // Backends: every mapping comes from here, and a reset begins with revoking them.
  MappingList mappings_;
};

// By which of the kernel's two interfaces a PCI address is opened. Automatic: the character device where the kernel has
// both it and iommufd, else the group.
enum class KernelInterface : std::uint8_t { kAutomatic, kGroup, kCharacterDevice };

struct OpenOptions {
  // How long one request may take before the device counts as unresponsive (vfio-user only; the kernel ends its own).
  int request_timeout_ms = 10'000;
  // Whether a card may be opened that no IOMMU confines: it can then write to all memory of the host.
  bool allow_no_iommu = false;
  KernelInterface kernel_interface = KernelInterface::kAutomatic;
};

// Opens `vfio-user:PATH` or a PCI address. Errors are one line with cause and cure.
[[nodiscard]] Result<std::unique_ptr<Device>> open(std::string_view name, const OpenOptions& options = {});

// Goes on with descriptors that another process of ours opened under this name and may have been killed with a
// request under way: answers to its requests are recognised and dropped. Takes the descriptors.
[[nodiscard]] Result<std::unique_ptr<Device>> adopt(std::string_view name, std::vector<UniqueFd> descriptors,
                                                    const OpenOptions& options = {});

// Whether `name` has the form of a device name at all; for command lines. The error says which forms there are.
[[nodiscard]] Status check_name(std::string_view name);

}  // namespace warden::vfio
