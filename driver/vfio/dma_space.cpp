// SPDX-License-Identifier: Apache-2.0
// What both interfaces of the kernel have in common: memory that stays mapped for the kernel's eyes, and what its
// refusals mean.
#include "driver/vfio/dma_space.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace warden::vfio {
namespace {

constexpr std::string_view kEntryLimit = "/module/vfio_iommu_type1/parameters/dma_entry_limit";

// Of a piece that is kept mapped here after its last use.
constexpr std::uint64_t kLastBytesMax = 4 << 20;

bool is_inside(const IovaRange& range, std::uint64_t first, std::uint64_t last) {
  return first >= range.first.value && last <= range.last.value;
}

std::string locked_memory_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "no limit";
  return fmt::format("{} bytes", limit.rlim_cur);
}

}  // namespace

void HostMemory::Unmap::operator()(void* base) const noexcept { ::munmap(base, size_bytes); }

bool HostMemory::is_same_piece(const HostMemory& other) const noexcept {
  return base && device == other.device && inode == other.inode && offset == other.offset &&
         size_bytes == other.size_bytes && protection == other.protection;
}

Result<HostMemory> DmaSpace::host_memory(std::uint64_t size_bytes, int memory, std::uint64_t offset, DmaAccess access) {
  struct stat file{};
  if (::fstat(memory, &file) != 0) return fail_errno("look at the memory's file");
  HostMemory wanted{.device = file.st_dev,
                    .inode = file.st_ino,
                    .offset = offset,
                    .size_bytes = size_bytes,
                    .protection = access == DmaAccess::kCardReads ? PROT_READ : PROT_READ | PROT_WRITE};
  if (last_.is_same_piece(wanted)) return std::exchange(last_, HostMemory{});
  // Populated at once: a page fault each, from within the kernel's request, costs more.
  void* base =
      ::mmap(nullptr, size_bytes, wanted.protection, MAP_SHARED | MAP_POPULATE, memory, static_cast<off_t>(offset));
  if (base == MAP_FAILED) return fail_errno("map the memory into this process");
  wanted.base = {base, HostMemory::Unmap{size_bytes}};
  (void)::madvise(base, size_bytes, MADV_DONTFORK);
  return wanted;
}

Status DmaSpace::map(Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset, DmaAccess access) {
  const std::scoped_lock lock(mutex_);
  auto kept = host_memory(size_bytes, memory, offset, access);
  if (!kept) return std::unexpected(std::move(kept).error());
  if (const int error = map_pages(iova, size_bytes, kept->base.get(), access); error != 0) {
    return std::unexpected(map_error(error, iova, size_bytes));
  }
  memory_.insert_or_assign(iova.value, std::move(*kept));
  return {};
}

Status DmaSpace::unmap(Iova iova, std::uint64_t size_bytes) {
  const std::scoped_lock lock(mutex_);
  std::uint64_t unmapped_bytes = 0;
  const int error = unmap_pages(iova, size_bytes, unmapped_bytes);
  if (unmapped_bytes != 0) {
    const auto end = memory_.lower_bound(iova.value + size_bytes);
    for (auto each = memory_.lower_bound(iova.value); each != end; each = memory_.erase(each)) {
      if (each->second.size_bytes <= kLastBytesMax) last_ = std::move(each->second);
    }
  }
  if (error != 0 && error != ENOENT && error != EINVAL) return fail_errno("the kernel", error);
  if (error == 0 && unmapped_bytes == size_bytes) return {};
  return fail(Code::kNotFound, fmt::format("no mapping begins and ends there; unmap whole ones, as they were mapped "
                                           "({:#x} bytes of it are unmapped now)",
                                           unmapped_bytes));
}

Result<DmaLimits> DmaSpace::limits() {
  const std::scoped_lock lock(mutex_);
  return ask_limits();
}

Error DmaSpace::map_error(int error_number, Iova iova, std::uint64_t size_bytes) {
  switch (error_number) {
    case EEXIST: return {Code::kBusy, "a part of these addresses is mapped already; unmap it first"};
    case EINVAL:
    case EADDRINUSE:
    case EOVERFLOW: return range_error(iova, size_bytes);
    case ENOSPC:
      return {Code::kBusy,
              fmt::format("the kernel allows {} mappings for each group and all are in use; unmap some, map fewer and "
                          "larger ones, or load vfio_iommu_type1 with a higher dma_entry_limit",
                          pci::Sysfs::read_or_empty(sysfs_.sys() + std::string(kEntryLimit)))};
    case ENOMEM:
      return {Code::kPermission,
              fmt::format("the kernel does not lock that much memory for this process (RLIMIT_MEMLOCK: {}); raise it "
                          "(ulimit -l, or LimitMEMLOCK=infinity of the service)",
                          locked_memory_limit())};
    case ENOTTY: return {Code::kUnsupported, kNoDmaWithoutIommu};
    case EFAULT:
      return {Code::kInvalidArgument,
              "the kernel can't hold on to these pages; use a memfd or hugetlbfs, inside of "
              "its size"};
    default: return fail_errno("the kernel", error_number).error();
  }
}

// EINVAL has many reasons. A reserved region has a name in sysfs; a line is "0xfee00000 0xfeefffff msi".
Error DmaSpace::range_error(Iova iova, std::uint64_t size_bytes) {
  const std::uint64_t last = iova.value + size_bytes - 1;
  std::istringstream lines(
      pci::Sysfs::read_or_empty(fmt::format("{}/kernel/iommu_groups/{}/reserved_regions", sysfs_.sys(), group_)));
  std::string begin;
  std::string end;
  std::string kind;
  while (lines >> begin >> end >> kind) {
    const std::uint64_t reserved_first = std::strtoull(begin.c_str(), nullptr, 16);
    const std::uint64_t reserved_last = std::strtoull(end.c_str(), nullptr, 16);
    if (iova.value > reserved_last || last < reserved_first || kind == "direct-relaxable") continue;
    return {Code::kInvalidArgument, fmt::format("the addresses {:#x} to {:#x} are reserved ({}); choose others",
                                                reserved_first, reserved_last, kind)};
  }
  const auto limits = ask_limits();
  const std::uint64_t page_bytes = limits ? limits->page_sizes & -limits->page_sizes : 0;
  if (page_bytes != 0 && ((iova.value | size_bytes) % page_bytes != 0 || size_bytes == 0)) {
    return {Code::kInvalidArgument, fmt::format("that is no number of whole pages of {} bytes", page_bytes)};
  }
  const auto fits = [&](const IovaRange& range) { return is_inside(range, iova.value, last); };
  if (limits && !limits->usable.empty() && std::ranges::none_of(limits->usable, fits)) {
    return {Code::kInvalidArgument, fmt::format("the IOMMU has no such addresses for this card, the last is {:#x}",
                                                limits->usable.back().last.value)};
  }
  return fail_errno("the kernel", EINVAL).error();
}

DmaSpaces& DmaSpaces::of_this_process() {
  static DmaSpaces spaces;
  return spaces;
}

void DmaSpaces::leave(std::shared_ptr<DmaSpace> space, const pci::Address& address) noexcept {
  const std::scoped_lock lock(mutex_);
  const auto found = members_.find(space->group());
  if (found == members_.end()) return;
  found->second.addresses.erase(address);
  space.reset();
  if (found->second.addresses.empty()) members_.erase(found);
}

bool DmaSpaces::has(std::uint32_t group) const {
  const std::scoped_lock lock(mutex_);
  return members_.contains(group);
}

std::unexpected<Error> DmaSpaces::already_open(const pci::Address& address) {
  return fail(Code::kBusy, fmt::format("{}: this process has it open already", address.text()));
}

}  // namespace warden::vfio
