// SPDX-License-Identifier: Apache-2.0
// A piece of a region mapped into this process, and what becomes of it when the card behind it is reset: the old
// mapping faults from then on, so that nobody writes to the new card with what was true of the old one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "driver/vfio/guarded_access.h"

namespace warden::vfio {

// The mapped pages, which their holder and their device know. Unmapped when both have let go.
class MappedPages {
 public:
  MappedPages(void* base, std::size_t size_bytes) noexcept : base_(base), size_bytes_(size_bytes) {}
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;
  ~MappedPages();

  // Any thread, also while others access. The addresses stay taken, so that an access that comes too late meets
  // nothing, and not what was mapped there next.
  void revoke() noexcept;
  [[nodiscard]] bool is_stale() const noexcept {
    return stale_.load(std::memory_order_acquire);  // sync: revoked
  }
  [[nodiscard]] void* base() const noexcept { return base_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void* const base_;
  const std::size_t size_bytes_;
  std::atomic<bool> stale_{false};
};

// Owner: whoever mapped. Threads: accesses from any; moving and destroying only while nobody accesses.
class Mapping {
 public:
  Mapping() = default;
  // Takes what mmap() returned.
  Mapping(void* base, std::size_t size_bytes) : Mapping(std::make_shared<MappedPages>(base, size_bytes)) {}
  explicit Mapping(std::shared_ptr<MappedPages> pages) noexcept : base_(pages->base()), pages_(std::move(pages)) {}

  [[nodiscard]] void* base() const noexcept { return base_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return pages_ ? pages_->size_bytes() : 0; }
  // Made before a reset of its device: every access faults (or, with a fault handler, comes to nothing).
  [[nodiscard]] bool is_stale() const noexcept { return pages_ && pages_->is_stale(); }

  // One naturally aligned access of exactly this width, never split, merged or moved across another of these by
  // the compiler; as ordered as the hardware keeps uncached accesses. `offset` is not checked: the mapping's owner
  // stays below size_bytes(). With a fault handler, a load that could not reach the card reads kNothingThere, as from
  // the bus, and a store says false.
  [[nodiscard]] std::uint32_t read32(std::size_t offset) const noexcept {
    return load32(reinterpret_cast<const volatile std::uint32_t*>(static_cast<const std::byte*>(base_) + offset));
  }
  bool write32(std::size_t offset, std::uint32_t value) const noexcept {
    return store32(reinterpret_cast<volatile std::uint32_t*>(static_cast<std::byte*>(base_) + offset), value);
  }

 private:
  void* base_ = nullptr;  // beside the pages: one load less for each access
  std::shared_ptr<MappedPages> pages_;
};

// The mappings that one device has handed out and that may still be in use. Threads: any.
class MappingList {
 public:
  // Takes what mmap() returned.
  [[nodiscard]] Mapping add(void* base, std::size_t size_bytes);
  void revoke_all() noexcept;

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<MappedPages>> pages_;
};

}  // namespace warden::vfio
