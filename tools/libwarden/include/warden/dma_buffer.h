// SPDX-License-Identifier: Apache-2.0
// Memory that this process and a card share: made and mapped by wardend, gone with the session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <warden/device.h>
#include <warden/result.h>
#include <warden/session.h>
#include <warden/tile.h>

namespace warden {

// Unmapped from card and process when it goes; the card must not use it any more then. It outlives a reset of the
// card: memory and addresses stay. Threads: any; who writes which bytes is the users' affair. In a forked child there
// is no such memory.
class DmaBuffer {
 public:
  // At least so many bytes, rounded up to whole pages, zeroed. kBusy: over what wardend allows this session, or the
  // card's address range is used up; else as Device's accesses.
  [[nodiscard]] static Result<DmaBuffer> map(const Device& device, std::size_t size_bytes);

  DmaBuffer(DmaBuffer&& other) noexcept;
  DmaBuffer& operator=(DmaBuffer&& other) noexcept;
  ~DmaBuffer();

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  // The first byte as the card's own DMA engines name it.
  [[nodiscard]] std::uint64_t iova() const noexcept { return iova_; }
  // The first byte as the cores of the card reach it over the NoC: this address of this tile.
  [[nodiscard]] Tile tile() const noexcept { return tile_; }
  [[nodiscard]] CardAddress address() const noexcept { return address_; }

  // kStale: the session was attached anew, and the card does not reach this memory any more; map another.
  [[nodiscard]] Status check() const;

 private:
  DmaBuffer(std::shared_ptr<Session> session, std::uint64_t attachment, std::uint64_t number) noexcept
      : session_(std::move(session)), attachment_(attachment), number_(number) {}
  void unmap() noexcept;

  std::shared_ptr<Session> session_;  // empty: nothing to unmap
  std::uint64_t attachment_ = 0;
  std::uint64_t number_ = 0;
  std::span<std::byte> bytes_;
  std::uint64_t iova_ = 0;
  Tile tile_;
  CardAddress address_;
};

}  // namespace warden
