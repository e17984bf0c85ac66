# SPDX-License-Identifier: Apache-2.0
# The host's control plane of the fabric: topology, routes, loading, states, workers and cuts.
set(here ${CMAKE_CURRENT_LIST_DIR})
add_library(warden_fabric STATIC
  ${here}/accounts.cpp ${here}/card.cpp ${here}/command_interface.cpp ${here}/control_plane.cpp ${here}/cut.cpp
  ${here}/cut_links.cpp ${here}/cut_restore.cpp ${here}/drain.cpp ${here}/holds.cpp ${here}/lane_counts.cpp
  ${here}/lanes.cpp ${here}/links.cpp ${here}/loader.cpp ${here}/losses.cpp ${here}/manifest.cpp ${here}/node.cpp
  ${here}/paths.cpp
  ${here}/plan.cpp ${here}/predecessor.cpp ${here}/previous_commands.cpp ${here}/probe.cpp ${here}/router_state.cpp
  ${here}/router_state_manager.cpp ${here}/router_state_utils.cpp ${here}/routes.cpp ${here}/settling.cpp
  ${here}/survey.cpp ${here}/topology.cpp ${here}/traffic_validation.cpp ${here}/turns.cpp ${here}/worker.cpp
  ${here}/worker_deliveries.cpp ${here}/worker_lanes.cpp ${here}/worker_tiles.cpp)
target_link_libraries(warden_fabric PRIVATE warden_flags fmt::fmt nlohmann_json::nlohmann_json
                      PUBLIC warden_chip warden_kernels)
