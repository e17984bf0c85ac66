// SPDX-License-Identifier: Apache-2.0
// Every command that `warden` has, and those within them, as they are typed.
#pragma once

#include <string>
#include <vector>

namespace warden::test {

inline std::vector<std::vector<std::string>> warden_commands() {
  return {{"devices"},
          {"sessions"},
          {"allocs"},
          {"status"},
          {"reset"},
          {"listen"},
          {"events"},
          {"fabric"},
          {"fabric", "up"},
          {"fabric", "status"},
          {"fabric", "topology"},
          {"fabric", "pause"},
          {"fabric", "resume"},
          {"fabric", "drain"},
          {"fabric", "recover"},
          {"fabric", "traffic"},
          {"fabric", "traffic", "start"},
          {"fabric", "traffic", "watch"},
          {"fabric", "traffic", "status"},
          {"fabric", "traffic", "stop"},
          {"peek"},
          {"poke"},
          {"doctor"},
          {"bind"},
          {"unbind"},
          {"completions"}};
}

}  // namespace warden::test
