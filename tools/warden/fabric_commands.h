// SPDX-License-Identifier: Apache-2.0
// The commands of `warden fabric`, each in a file of its own, and options that several of them take.
#pragma once

#include "tools/warden/command.h"
#include "tools/warden/fabric_selection.h"

namespace warden::cli {

void add_fabric_up(CLI::App& fabric, Context& context);
void add_fabric_status(CLI::App& fabric, Context& context);
void add_fabric_topology(CLI::App& fabric, Context& context);
void add_fabric_states(CLI::App& fabric, Context& context);  // pause, resume, drain, recover
void add_fabric_traffic(CLI::App& fabric, Context& context);
void add_traffic_start(CLI::App& traffic, Context& context);
void add_traffic_watch(CLI::App& traffic, Context& context);  // and what `traffic` alone does
void add_traffic_status(CLI::App& traffic, Context& context);
void add_traffic_stop(CLI::App& traffic, Context& context);

// --device, --channel, --edge, --mesh
void add_selection_options(CLI::App& command, SelectionWords& words);

}  // namespace warden::cli
