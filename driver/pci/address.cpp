// SPDX-License-Identifier: Apache-2.0
// See address.h.
#include "driver/pci/address.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace warden::pci {
namespace {

constexpr std::uint32_t kMostDevice = 31;
constexpr std::uint32_t kMostFunction = 7;
constexpr std::size_t kDomainDigits = 4;
constexpr std::size_t kMostDomainDigits = 8;

// Hexadecimal digits and nothing else, of which there are `least` to `most`.
std::optional<std::uint32_t> hex(std::string_view digits, std::size_t least, std::size_t most) {
  if (digits.size() < least || digits.size() > most) return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<Address> parsed(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::size_t colon = text.substr(0, dot).rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view head = text.substr(0, colon);  // "DDDD:BB" or "BB"
  const std::size_t first_colon = head.find(':');
  const bool has_domain = first_colon != std::string_view::npos;
  const auto domain = has_domain ? hex(head.substr(0, first_colon), kDomainDigits, kMostDomainDigits) : 0U;
  const auto bus = hex(has_domain ? head.substr(first_colon + 1) : head, 2, 2);
  const auto device = hex(text.substr(colon + 1, dot - colon - 1), 2, 2);
  const auto function = hex(text.substr(dot + 1), 1, 1);
  if (!domain || !bus || !device || !function) return std::nullopt;
  if (*device > kMostDevice || *function > kMostFunction) return std::nullopt;
  return Address{.domain = *domain,
                 .bus = static_cast<std::uint8_t>(*bus),
                 .device = static_cast<std::uint8_t>(*device),
                 .function = static_cast<std::uint8_t>(*function)};
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  if (const auto address = parsed(text)) return *address;
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' is no PCI address; one looks like 0000:01:00.0 (lspci -D lists them)", text));
}

std::string Address::text() const { return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function); }

}  // namespace warden::pci
