// SPDX-License-Identifier: Apache-2.0
// Where a PCI function sits: domain, bus, device and function, as in `0000:01:00.0`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <warden/result.h>

namespace warden::pci {

struct Address {
  std::uint32_t domain = 0;  // 16 bits; more behind some host bridges that the kernel makes up
  std::uint8_t bus = 0;
  std::uint8_t device = 0;    // below 32
  std::uint8_t function = 0;  // below 8

  // `0000:01:00.0`, or `01:00.0` for domain 0; digits in either case. kInvalidArgument: anything else.
  [[nodiscard]] static Result<Address> parse(std::string_view text);
  // As the kernel writes it.
  [[nodiscard]] std::string text() const;

  auto operator<=>(const Address&) const = default;
};

}  // namespace warden::pci
