// SPDX-License-Identifier: Apache-2.0
// The card's configuration space as VFIO shows it: a Wormhole's header and capabilities, and the few things that the
// kernel does on the way (BARs put back with a command write, payload size and link registers kept from the user).
// Or as the slot shows it to a kernel, with nobody in between.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace warden::sim {

inline constexpr std::uint32_t kConfigBytes = 4096;
inline constexpr std::size_t kBarCount = 3;  // BAR0, BAR2 and BAR4, 64 bits each
inline constexpr std::array<std::uint64_t, kBarCount> kBarSizes = {512ULL << 20, 1ULL << 20, 32ULL << 20};

struct PciOptions {
  std::uint16_t subsystem_id = 0;
  bool function_level_reset = true;
  bool in_slot = false;  // as the slot shows it: the client is a machine whose kernel sets the card up and restores it
  std::uint64_t bar_space = 0;  // where firmware of the host put the BARs: 1 GiB, aligned to its size
};

class PciConfig {
 public:
  // As the host's firmware leaves it: BARs assigned, memory and bus master enabled. In a slot: as after
  // power-on.
  explicit PciConfig(const PciOptions& options);

  // The range lies inside the space.
  void read(std::uint32_t offset, std::span<std::byte> into) const noexcept;
  // True if it asks for a function-level reset.
  [[nodiscard]] bool write(std::uint32_t offset, std::span<const std::byte> from) noexcept;
  // Through the card's own back door, past the kernel (the DBI): read-only fields stay, nothing is kept from it.
  void write_back_door(std::uint32_t offset, std::span<const std::byte> from) noexcept;

  // Which BARs answer: memory enabled, full power, an address programmed (in a slot: wherever they are). `bar` is 0, 1
  // or 2.
  [[nodiscard]] bool bar_answers(std::size_t bar) const noexcept;
  [[nodiscard]] bool bus_master() const noexcept;
  // Whether the card may raise its vector. VFIO sees to that; in a slot the kernel enables it in the capability.
  [[nodiscard]] bool msi_enabled() const noexcept;
  [[nodiscard]] std::uint16_t command() const noexcept;

  // What the kernel does for whoever opens the function, and takes back with the last close.
  void enable_device() noexcept;
  void disable_device() noexcept;

  // A reset behind the kernel's back: everything as after power-on, BARs and command register zero.
  void chip_reset() noexcept;
  // A reset by the kernel: what it saves and restores (header, capabilities) is as before, the rest is lost. In a slot
  // nothing is restored: that is left to the kernel.
  void function_reset() noexcept;

 private:
  using Bytes = std::array<std::uint8_t, kConfigBytes>;
  using Bars = std::array<std::uint32_t, 2 * kBarCount>;

  void lay_out(const PciOptions& options) noexcept;
  void put(std::uint32_t offset, unsigned width, std::uint32_t value, std::uint32_t writable) noexcept;
  [[nodiscard]] std::uint32_t get(std::uint32_t offset, unsigned width) const noexcept;
  void set(std::uint32_t offset, unsigned width, std::uint32_t value) noexcept;
  [[nodiscard]] Bars bars() const noexcept;
  void set_bars(const Bars& bars) noexcept;

  Bytes values_{};
  Bytes power_on_{};
  Bytes writable_{};        // by the card's user
  Bars programmed_bars_{};  // the kernel's memory of them
  bool function_level_reset_;
  bool in_slot_;
};

}  // namespace warden::sim
