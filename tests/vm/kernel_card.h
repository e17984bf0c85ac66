// SPDX-License-Identifier: Apache-2.0
// What the tests of the kernel's VFIO share: the guest's cards by name, each of the kernel's interfaces to them, and
// edu, QEMU's card for teaching, whose registers do one thing each (QEMU's docs/specs/edu.rst).
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "driver/vfio/device.h"
#include "tests/support/process.h"

namespace warden::vm {

using vfio::KernelInterface;

// Of the card that guest-init put into this variable.
inline std::string address_of(const char* variable) {
  const char* address = std::getenv(variable);
  if (address == nullptr) throw std::runtime_error(std::string(variable) + " is not set: run this in warden-vm");
  return address;
}

inline std::vector<KernelInterface> interfaces() {
  if (::access("/dev/iommu", F_OK) != 0) return {KernelInterface::kGroup};
  return {KernelInterface::kGroup, KernelInterface::kCharacterDevice};
}

inline std::string name_of(const ::testing::TestParamInfo<KernelInterface>& named) {
  return named.param == KernelInterface::kGroup ? "Group" : "Node";
}

template <typename T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}
inline void succeed(const Status& status) {
  if (!status) throw std::runtime_error(status.error().message);
}

// A file in memory that this process sees as well.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size_bytes) : size_bytes_(size_bytes), file_(::memfd_create("dma", MFD_CLOEXEC)) {
    if (::ftruncate(file_.get(), static_cast<off_t>(size_bytes)) != 0) throw std::runtime_error("ftruncate");
    base_ = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (base_ == MAP_FAILED) throw std::runtime_error("mmap");
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(base_, size_bytes_); }

  [[nodiscard]] int file() const noexcept { return file_.get(); }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] volatile std::uint32_t& word(std::size_t index) const noexcept {
    return static_cast<volatile std::uint32_t*>(base_)[index];
  }

 private:
  std::size_t size_bytes_;
  UniqueFd file_;
  void* base_;
};

class Edu {
 public:
  static constexpr std::uint32_t kId = 0x00;        // 0x010000ed
  static constexpr std::uint32_t kLiveness = 0x04;  // reads as the inverse of what was written
  static constexpr std::uint32_t kRaise = 0x60;
  static constexpr std::uint32_t kAcknowledge = 0x64;
  static constexpr std::uint32_t kBufferBytes = 2048;  // of 4096, which it can't copy in one go

  explicit Edu(std::unique_ptr<vfio::Device> device) : device_(std::move(device)) { start(); }
  Edu(const char* variable, KernelInterface kernel_interface)
      : Edu(value_of(vfio::open(address_of(variable), {.kernel_interface = kernel_interface}))) {}

  // Memory and bus mastering on, a new mapping: after a reset too.
  void start() {
    const std::uint16_t command = 0x6;
    succeed(device_->write(7, 4, std::as_bytes(std::span(&command, 1))));
    registers_ = value_of(device_->map(0, 0, device_->region(0)->size_bytes));
  }
  [[nodiscard]] vfio::Device& device() { return *device_; }
  [[nodiscard]] std::unique_ptr<vfio::Device> take_device() { return std::move(device_); }
  [[nodiscard]] const vfio::Mapping& registers() const { return registers_; }

  [[nodiscard]] std::uint32_t read(std::uint32_t offset) const { return registers_.read32(offset); }
  void write(std::uint32_t offset, std::uint32_t value) const { registers_.write32(offset, value); }

  // One DMA of the card's own, over when it returns. Its addresses have 28 bits.
  void copy_from_host(vfio::Iova from, std::uint32_t size_bytes) const { copy(address(from), kBuffer, size_bytes, 0); }
  void copy_to_host(vfio::Iova to, std::uint32_t size_bytes) const { copy(kBuffer, address(to), size_bytes, 2); }

 private:
  static constexpr std::uint32_t kBuffer = 0x4'0000;
  static constexpr std::uint32_t kDmaFrom = 0x80;
  static constexpr std::uint32_t kDmaTo = 0x88;
  static constexpr std::uint32_t kDmaCount = 0x90;
  static constexpr std::uint32_t kDmaCommand = 0x98;

  static std::uint32_t address(vfio::Iova iova) { return static_cast<std::uint32_t>(iova.value); }
  void copy(std::uint32_t from, std::uint32_t to, std::uint32_t size_bytes, std::uint32_t direction) const {
    write(kDmaFrom, from);
    write(kDmaTo, to);
    write(kDmaCount, size_bytes);
    write(kDmaCommand, 1 | direction);
    if (!test::eventually([&] { return (read(kDmaCommand) & 1) == 0; })) throw std::runtime_error("edu's DMA hangs");
  }

  std::unique_ptr<vfio::Device> device_;
  vfio::Mapping registers_;
};

}  // namespace warden::vm
