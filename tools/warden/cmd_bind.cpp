// SPDX-License-Identifier: Apache-2.0
// `warden bind` and `warden unbind`: which driver a card belongs to.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "driver/pci/binding.h"
#include "tools/warden/command.h"
#include "tools/warden/option_types.h"
#include "tools/warden/progress.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

using Json = nlohmann::json;

struct BindChoice {
  std::string address;
  std::string root;
  bool as_json = false;
  pci::BindingOptions options;
};

using Call = Result<pci::BindingReport> (*)(const pci::Sysfs&, const pci::Address&, const pci::BindingOptions&);

std::string driver_text(const std::string& driver) { return driver.empty() ? "no driver" : printable(driver); }

Json json_of(const pci::BindingReport& report) {
  Json functions = Json::array();
  for (const pci::BindingChange& change : report.changes) {
    functions.push_back({{"address", change.address.text()},
                         {"what", change.what},
                         {"iommu_group", change.iommu_group ? Json(*change.iommu_group) : Json()},
                         {"from", change.from},
                         {"to", change.to},
                         {"node", change.node}});
  }
  return {{"functions", functions}, {"steps", report.steps}};
}

std::string text_of(const pci::BindingChange& change) {
  const std::string name = fmt::format("{} ({})", change.address.text(), change.what);
  std::string line = change.from == change.to
                         ? fmt::format("{} belongs to {} already", name, driver_text(change.to))
                         : fmt::format("{}: {} -> {}", name, driver_text(change.from), driver_text(change.to));
  if (change.iommu_group) line += fmt::format(", IOMMU group {}", *change.iommu_group);
  if (!change.node.empty()) line += ", " + change.node;
  return line;
}

int move_functions(const BindChoice& choice, Call call) {
  const auto address = pci::Address::parse(choice.address);
  if (!address) return report(address.error());
  const auto done = [&] {
    const Progress progress(fmt::format("the kernel to let {} go", address->text()));
    return call(pci::Sysfs::below(choice.root), *address, choice.options);
  }();
  if (!done) return report(done.error());
  if (choice.as_json) {
    fmt::print("{}\n", json_of(*done).dump(2, ' ', false, Json::error_handler_t::replace));
    return kExitOk;
  }
  if (choice.options.dry_run) {
    for (const std::string& step : done->steps) fmt::print("{}\n", printable(step));
    if (done->steps.empty()) fmt::print("nothing to do\n");
    return kExitOk;
  }
  for (const pci::BindingChange& change : done->changes) {
    fmt::print("{} {}\n", coloured(stdout, Colour::kGood, "OK"), text_of(change));
  }
  return kExitOk;
}

std::shared_ptr<BindChoice> add_common(CLI::App& command) {
  auto choice = std::make_shared<BindChoice>();
  command.add_option("ADDRESS", choice->address, "PCI address of the card, such as 0000:01:00.0")
      ->required()
      ->check([](const std::string& text) {
        const auto address = pci::Address::parse(text);
        return address ? std::string() : address.error().message;
      });
  command.add_flag("--group", choice->options.group, "All functions of its IOMMU group, bridges excepted");
  command.add_flag("--dry-run", choice->options.dry_run, "Change nothing; print what would be written where");
  add_duration_option(command, "--timeout", choice->options.timeout, "How long its driver may take to let it go");
  command.add_option("--root", choice->root, "Where the host's root directory is, in a container that has it")
      ->type_name("DIR");
  command.add_flag("--json", choice->as_json, "Print JSON");
  return choice;
}

}  // namespace

void add_bind_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("bind", "Give a card to vfio-pci, so that wardend can drive it");
  command->footer(
      "What drove it before is remembered in /run/warden-bindings until 'warden unbind' puts it back. Killed "
      "half-way,\n"
      "the same command again finishes and the other one undoes it. Lasts until the next boot. Needs root.\n\n"
      "Examples:\n"
      "  warden bind 0000:01:00.0\n"
      "  warden bind --dry-run 01:00.0\n"
      "  warden bind --group 0000:01:00.0             with everything that VFIO gives out together with it");
  auto choice = add_common(*command);
  command->add_flag("--any-device", choice->options.any_device, "Also what is not Tenstorrent's");
  command->callback([&context, choice] { context.run = [choice] { return move_functions(*choice, pci::bind); }; });
}

void add_unbind_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("unbind", "Give a card back to the driver that it had");
  command->footer(
      "Driver and driver_override become what they were before 'warden bind'. A card that was given to vfio-pci by "
      "other\n"
      "means goes to the driver that the kernel chooses. Refused while somebody uses it. Needs root.\n\n"
      "Examples:\n"
      "  warden unbind 0000:01:00.0\n"
      "  warden unbind --json 0000:01:00.0 | jq -r '.functions[].to'");
  auto choice = add_common(*command);
  command->callback([&context, choice] { context.run = [choice] { return move_functions(*choice, pci::unbind); }; });
}

}  // namespace warden::cli
