# SPDX-License-Identifier: Apache-2.0
# What is known about the chips: windows, NoC, ARC, telemetry and the warm reset.
set(here ${CMAKE_CURRENT_LIST_DIR})
add_library(warden_chip STATIC
  ${here}/access_gate.cpp ${here}/arc_messenger.cpp ${here}/bar.cpp ${here}/block_copy.cpp ${here}/chip.cpp
  ${here}/config_space.cpp ${here}/core_control.cpp ${here}/noc_grid.cpp ${here}/payload_size.cpp
  ${here}/reserved_windows.cpp ${here}/telemetry.cpp ${here}/tile_memory.cpp ${here}/warm_reset.cpp
  ${here}/warm_reset_verify.cpp ${here}/windows.cpp ${here}/wormhole.cpp)
target_link_libraries(warden_chip PRIVATE warden_flags fmt::fmt PUBLIC warden_vfio)
