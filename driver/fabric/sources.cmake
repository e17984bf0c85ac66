# SPDX-License-Identifier: Apache-2.0
# The host's control plane of the fabric: topology, routes, loading, states, workers and cuts.
set(here ${CMAKE_CURRENT_LIST_DIR})
add_library(warden_fabric STATIC
  ${here}/card.cpp ${here}/node.cpp ${here}/router_state.cpp)
target_link_libraries(warden_fabric PRIVATE warden_flags fmt::fmt nlohmann_json::nlohmann_json PUBLIC warden_chip)
