// SPDX-License-Identifier: Apache-2.0
// Names of states, commands and directions.
#include "driver/fabric/router_state.h"

namespace warden::fabric {

const char* router_state_to_string(RouterStateCommon state) noexcept {
  if (state == RouterStateCommon::RUNNING) return "RUNNING";
  if (state == RouterStateCommon::PAUSED) return "PAUSED";
  return "UNKNOWN";
}

const char* router_state_name(RouterStateCommon state) noexcept {
  switch (state) {
    case RouterStateCommon::INITIALIZING: return "INITIALIZING";
    case RouterStateCommon::RUNNING: return "RUNNING";
    case RouterStateCommon::PAUSED: return "PAUSED";
    case RouterStateCommon::DRAINING: return "DRAINING";
    case RouterStateCommon::RETRAINING: return "RETRAINING";
  }
  return "UNKNOWN";
}

const char* router_command_name(RouterCommand command) noexcept {
  switch (command) {
    case RouterCommand::kRun: return "RUN";
    case RouterCommand::kPause: return "PAUSE";
    case RouterCommand::kDrain: return "DRAIN";
    case RouterCommand::kRetrain: return "RETRAIN";
  }
  return "UNKNOWN";
}

const char* direction_name(Direction direction) noexcept {
  switch (direction) {
    case Direction::kEast: return "east";
    case Direction::kWest: return "west";
    case Direction::kSouth: return "south";
    case Direction::kNorth: return "north";
  }
  return "unknown";
}

RouterStateCommon state_after(RouterCommand command) noexcept {
  switch (command) {
    case RouterCommand::kRun: return RouterStateCommon::RUNNING;
    case RouterCommand::kPause: return RouterStateCommon::PAUSED;
    case RouterCommand::kDrain: return RouterStateCommon::DRAINING;
    case RouterCommand::kRetrain: return RouterStateCommon::PAUSED;
  }
  return RouterStateCommon::INITIALIZING;
}

}  // namespace warden::fabric
