// SPDX-License-Identifier: Apache-2.0
// warden-hw-facts: reads what is unproven from one card and prints it. Nobody else may have the card meanwhile.
#include <fmt/format.h>
#include <linux/vfio.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "driver/chip/wormhole_layout.h"
#include "tests/hw/facts.h"

namespace warden::hw {
namespace {

struct Options {
  std::string device;
  bool resets = false;
};

int complain(const Error& error) {
  fmt::print(stderr, "warden-hw-facts: {}\n", error.message);
  return 1;
}

const char* word_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAsAssumed: return "as assumed";
    case Verdict::kDiffers: return "DIFFERS";
    case Verdict::kOpen: break;
  }
  return "open";
}

// Status 0 when every question was answered, whatever the answer.
int run(const Options& options) {
  auto device = vfio::open(options.device);
  if (!device) return complain(device.error());
  chip::Bar bar0(**device, VFIO_PCI_BAR0_REGION_INDEX, chip::wormhole::kBar0Bytes);
  if (auto mapped = bar0.map(); !mapped) return complain(mapped.error());
  const Card card{**device, bar0, {}};
  int status = 0;
  for (const Fact& fact : facts()) {
    if (fact.resets && !options.resets) {
      fmt::print("{}: assumed {}; not tried, needs --resets\n", fact.name, fact.assumed);
      continue;
    }
    // A function reset takes the mapping away.
    if (fact.resets) bar0.unmap();
    const auto answer = fact.read(card);
    if (!answer) {
      fmt::print("{}: assumed {}; NOT FOUND OUT: {}\n", fact.name, fact.assumed, answer.error().message);
      status = 1;
      continue;
    }
    fmt::print("{}: assumed {}; found: {}: {}\n", fact.name, fact.assumed, answer->found, word_of(answer->verdict));
  }
  return status;
}

}  // namespace
}  // namespace warden::hw

int main(int count, char** arguments) {
  warden::hw::Options options;
  CLI::App app{"Reads from a card what no source says of it for certain", "warden-hw-facts"};
  app.add_option("DEVICE", options.device, "PCI address of a card that belongs to vfio-pci, or vfio-user:PATH")
      ->required();
  app.add_flag("--resets", options.resets, "Also what only a reset of the card tells");
  app.footer("Examples:\n  warden-hw-facts 0000:01:00.0\n  warden-hw-facts --resets 0000:01:00.0");
  CLI11_PARSE(app, count, arguments);
  return warden::hw::run(options);
}
