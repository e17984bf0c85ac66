// SPDX-License-Identifier: Apache-2.0
// The memory that the functions of one IOMMU group see: the IOMMU's address space behind either of the kernel's
// interfaces, shared by the devices of that group which this process has open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/pci/address.h"
#include "driver/pci/sysfs.h"
#include "driver/vfio/device.h"

namespace warden::vfio {

inline constexpr const char* kNoDmaWithoutIommu = "without an IOMMU a card can't be given memory of the host";

// A piece of a file as it is mapped into this process. While it is, its inode's number is nobody else's.
struct HostMemory {
  struct Unmap {
    std::size_t size_bytes;
    void operator()(void* base) const noexcept;
  };

  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
  int protection = 0;
  std::unique_ptr<void, Unmap> base{nullptr, Unmap{0}};

  [[nodiscard]] bool is_same_piece(const HostMemory& other) const noexcept;
};

// Owner: a registry, one a group and process (see below). Threads: any; calls on one space come one after another.
class DmaSpace {
 public:
  DmaSpace(const DmaSpace&) = delete;
  DmaSpace& operator=(const DmaSpace&) = delete;
  virtual ~DmaSpace() = default;

  [[nodiscard]] std::uint32_t group() const noexcept { return group_; }

  // A descriptor of the function, which is a member of this group. What can go wrong is explained.
  [[nodiscard]] virtual Result<UniqueFd> open_device(const pci::Address& address) = 0;
  // What keeps the space open besides the device, in the order of Device::descriptors().
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
  // What proves to a hot reset that the group is ours; below 0 where the kernel sees that by itself.
  [[nodiscard]] virtual int hot_reset_proof() const noexcept = 0;

  // As in Device. The memory is mapped into this process, where the kernel looks for it, until it is unmapped; a small
  // piece that was unmapped last, until the next one is: to map it here costs more than the kernel's part.
  [[nodiscard]] Status map(Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset, DmaAccess access);
  [[nodiscard]] Status unmap(Iova iova, std::uint64_t size_bytes);
  [[nodiscard]] Result<DmaLimits> limits();

 protected:
  DmaSpace(std::uint32_t group, pci::Sysfs sysfs) : group_(group), sysfs_(std::move(sysfs)) {}

  [[nodiscard]] const pci::Sysfs& sysfs() const noexcept { return sysfs_; }

 private:
  // Maps the piece, unless it is the one that was unmapped last.
  [[nodiscard]] Result<HostMemory> host_memory(std::uint64_t size_bytes, int memory, std::uint64_t offset,
                                               DmaAccess access);

  // 0, or the errno of the request.
  [[nodiscard]] virtual int map_pages(Iova iova, std::uint64_t size_bytes, const void* memory, DmaAccess access) = 0;
  // The number of bytes that are mapped no more goes into `unmapped_bytes`.
  [[nodiscard]] virtual int unmap_pages(Iova iova, std::uint64_t size_bytes, std::uint64_t& unmapped_bytes) = 0;
  [[nodiscard]] virtual Result<DmaLimits> ask_limits() = 0;

  [[nodiscard]] Error map_error(int error_number, Iova iova, std::uint64_t size_bytes);
  [[nodiscard]] Error range_error(Iova iova, std::uint64_t size_bytes);

  const std::uint32_t group_;
  const pci::Sysfs sysfs_;
  std::mutex mutex_;
  std::map<std::uint64_t, HostMemory> memory_;  // by IOVA; without what another process of ours mapped before
  HostMemory last_;                             // unmapped from the IOMMU, and likely to come again
};

// The spaces of this process, by group: a group can be opened only once. Threads: any.
class DmaSpaces {
 public:
  static DmaSpaces& of_this_process();

  // Joins the group's space with one more function, or makes it first. kBusy: this process has that function open.
  template <typename Make>
  [[nodiscard]] Result<std::shared_ptr<DmaSpace>> join(std::uint32_t group, const pci::Address& address, Make make) {
    const std::scoped_lock lock(mutex_);
    auto found = members_.find(group);
    if (found != members_.end() && found->second.addresses.contains(address)) return already_open(address);
    if (found == members_.end()) {
      Result<std::shared_ptr<DmaSpace>> made = make();
      if (!made) return made;
      found = members_.emplace(group, Member{std::move(*made), {}}).first;
    }
    found->second.addresses.insert(address);
    return found->second.space;
  }
  // The last one to leave closes it before anybody can join again.
  void leave(std::shared_ptr<DmaSpace> space, const pci::Address& address) noexcept;
  [[nodiscard]] bool has(std::uint32_t group) const;

 private:
  struct Member {
    std::shared_ptr<DmaSpace> space;
    std::set<pci::Address> addresses;
  };
  [[nodiscard]] static std::unexpected<Error> already_open(const pci::Address& address);

  mutable std::mutex mutex_;
  std::map<std::uint32_t, Member> members_;
};

// One function's place in its group's space: left with the object.
class DmaSpaceSeat {
 public:
  DmaSpaceSeat(std::shared_ptr<DmaSpace> space, const pci::Address& address) noexcept
      : space_(std::move(space)), address_(address) {}
  DmaSpaceSeat(DmaSpaceSeat&& other) noexcept = default;
  DmaSpaceSeat& operator=(DmaSpaceSeat&&) = delete;
  ~DmaSpaceSeat() {
    if (space_) DmaSpaces::of_this_process().leave(std::move(space_), address_);
  }

  [[nodiscard]] DmaSpace& operator*() const noexcept { return *space_; }
  [[nodiscard]] DmaSpace* operator->() const noexcept { return space_.get(); }

 private:
  std::shared_ptr<DmaSpace> space_;
  pci::Address address_;
};

}  // namespace warden::vfio
