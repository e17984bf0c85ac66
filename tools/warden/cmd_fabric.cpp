// SPDX-License-Identifier: Apache-2.0
// `warden fabric`: the routers that carry packets between cards, and what goes through them.
#include "tools/warden/fabric_commands.h"

namespace warden::cli {

void add_selection_options(CLI::App& command, SelectionWords& words) {
  CLI::Option* device =
      command.add_option("--device", words.device, "Only the routers of this device: X,Y, its card's name or number")
          ->type_name("DEVICE");
  CLI::Option* channel =
      command.add_option("--channel", words.channel, "Only the router of this Ethernet channel of it: e0 to e15")
          ->type_name("CHANNEL")
          ->check([](const std::string& text) {
            const auto typed = parse_channel(text);
            return typed ? std::string() : typed.error().message;
          });
  CLI::Option* edge =
      command.add_option("--edge", words.edge, "Only the routers on the links between two devices, at both ends")
          ->type_name("DEVICE-DEVICE");
  command.add_option("--mesh", words.mesh, "Only this mesh")->type_name("NUMBER")->check(CLI::NonNegativeNumber);
  channel->needs(device);
  edge->excludes(device)->excludes(channel);
}

void add_fabric_command(CLI::App& app, Context& context) {
  CLI::App* fabric = app.add_subcommand("fabric", "Routers between the cards: start, look, pause, send through them");
  fabric->footer(
      "What runs is found on the cards themselves, whoever started it.\n"
      "DEVICE is a place in its mesh (X,Y), or the name or number of its card in 'warden devices'.\n\n"
      "Examples:\n"
      "  warden fabric up                              find the meshes, start a router at each end of each link\n"
      "  warden fabric traffic start --pattern ring    send from every device to the next\n"
      "  warden fabric traffic                         words a second by link, until Ctrl-C\n"
      "  warden fabric pause --edge 0,0-1,0            stop the links between two devices\n"
      "  warden fabric topology --svg mesh.svg         a picture of the mesh");
  fabric->require_subcommand(1);
  add_fabric_up(*fabric, context);
  add_fabric_status(*fabric, context);
  add_fabric_topology(*fabric, context);
  add_fabric_states(*fabric, context);
  add_fabric_traffic(*fabric, context);
}

}  // namespace warden::cli
