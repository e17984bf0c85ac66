// SPDX-License-Identifier: Apache-2.0
// `warden peek` and `warden poke`: memory and registers of a tile, by hand.
#include <fmt/format.h>

#include <cstddef>
#include <cstdio>
#include <span>

#include <warden/device.h>

#include "tools/warden/command.h"
#include "tools/warden/duration.h"

namespace warden::cli {
namespace {

// Register blocks of a tile (its NoC interface among them) begin here (tt-isa-documentation); they want single 32-bit
// accesses.
constexpr std::uint64_t kFirstRegister = 0xFF00'0000;
constexpr std::uint64_t kMostBytes = 1 << 20;
constexpr std::size_t kBytesPerLine = 16;

struct Place {
  std::string device;
  std::string tile;
  std::string address;
  std::string operand;
  bool words = false;
};

struct Target {
  Device device;
  Tile tile;
  CardAddress address;
  bool is_register;
};

void add_place(CLI::App& command, Place& place) {
  command.add_option("DEVICE", place.device, "Card: its name, or its number in `warden devices`")->required();
  command.add_option("TILE", place.tile, "X,Y in NoC #0 coordinates")->required()->check([](const std::string& text) {
    const auto tile = parse_tile(text);
    return tile ? std::string() : tile.error().message;
  });
}

std::string check_number(const std::string& text) {
  const auto number = parse_number(text);
  return number ? std::string() : number.error().message;
}

Result<Target> open_target(const Context& context, const Place& place) {
  auto session = attach(context);
  if (!session) return std::unexpected(session.error());
  auto device = Device::open(*session, place.device);
  if (!device) return std::unexpected(device.error());
  const std::uint64_t address = *parse_number(place.address);
  return Target{.device = std::move(*device),
                .tile = *parse_tile(place.tile),
                .address = CardAddress{address},
                .is_register = place.words || address >= kFirstRegister};
}

void print_hexdump(std::uint64_t address, std::span<const std::byte> bytes) {
  for (std::size_t line = 0; line < bytes.size(); line += kBytesPerLine) {
    std::string hex;
    std::string text;
    for (std::size_t i = line; i < std::min(line + kBytesPerLine, bytes.size()); ++i) {
      const auto byte = std::to_integer<unsigned char>(bytes[i]);
      hex += fmt::format("{:02x}{}", byte, i % kBytesPerLine == kBytesPerLine / 2 - 1 ? "  " : " ");
      text += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
    }
    fmt::print("{:09x}  {:<50}|{}|\n", address + line, hex, text);
  }
}

int peek_words(Target& target, std::uint64_t count_bytes) {
  for (std::uint64_t offset = 0; offset < count_bytes; offset += 4) {
    const CardAddress address{target.address.value + offset};
    const auto value = target.device.read32(target.tile, address);
    if (!value) return report(value.error());
    fmt::print("{:09x}  {:08x}\n", address.value, *value);
  }
  return kExitOk;
}

int peek(const Context& context, const Place& place) {
  auto target = open_target(context, place);
  if (!target) return report(target.error());
  const std::uint64_t asked_bytes = place.operand.empty() ? 0 : *parse_number(place.operand);
  if (target->is_register) return peek_words(*target, asked_bytes == 0 ? 4 : asked_bytes);
  std::vector<std::byte> bytes(asked_bytes == 0 ? kBytesPerLine : asked_bytes);
  if (const auto status = target->device.read(target->tile, target->address, bytes); !status) {
    return report(status.error());
  }
  print_hexdump(target->address.value, bytes);
  return kExitOk;
}

int poke(const Context& context, const Place& place) {
  auto target = open_target(context, place);
  if (!target) return report(target.error());
  const auto value = static_cast<std::uint32_t>(*parse_number(place.operand));
  const auto status = target->is_register
                          ? target->device.write32(target->tile, target->address, value)
                          : target->device.write(target->tile, target->address, std::as_bytes(std::span(&value, 1)));
  return status ? kExitOk : report(status.error());
}

}  // namespace

void add_peek_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("peek", "Read memory or registers of a tile");
  command->footer(
      "Addresses from 0xFF000000 on are registers: read word by word, as with --word.\n\n"
      "Examples:\n"
      "  warden peek 0 1,1 0x20000 64          64 bytes of a Tensix tile's L1\n"
      "  warden peek 0 1,1 0xFFB2002C          its NODE_ID register");
  auto place = std::make_shared<Place>();
  add_place(*command, *place);
  command->add_option("ADDRESS", place->address, "Where in the tile")->required()->check(check_number);
  command->add_option("BYTES", place->operand, "How many bytes (16; of registers 4)")
      ->check([](const std::string& text) {
        const auto count = parse_number(text);
        if (!count) return count.error().message;
        return *count >= 1 && *count <= kMostBytes ? std::string() : fmt::format("BYTES must be 1 to {}", kMostBytes);
      });
  command->add_flag("--word", place->words, "32-bit accesses, as registers want");
  command->callback([&context, place] { context.run = [&context, place] { return peek(context, *place); }; });
}

void add_poke_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("poke", "Write one 32-bit word of a tile");
  command->footer(
      "Examples:\n"
      "  warden poke 0 1,1 0x20000 0xC0FFEE    a word of a Tensix tile's L1");
  auto place = std::make_shared<Place>();
  add_place(*command, *place);
  command->add_option("ADDRESS", place->address, "Where in the tile")->required()->check(check_number);
  command->add_option("VALUE", place->operand, "32 bits, stored little-endian")
      ->required()
      ->check([](const std::string& text) {
        const auto value = parse_number(text);
        if (!value) return value.error().message;
        return *value <= 0xffff'ffff ? std::string() : std::string("VALUE must fit in 32 bits");
      });
  command->add_flag("--word", place->words, "A 32-bit access, as registers want");
  command->callback([&context, place] { context.run = [&context, place] { return poke(context, *place); }; });
}

}  // namespace warden::cli
