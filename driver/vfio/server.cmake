# SPDX-License-Identifier: Apache-2.0
# The server half of vfio-user: for simulated cards and for what passes a card on, never part of the driver.
add_library(warden_vfio_server STATIC ${CMAKE_CURRENT_LIST_DIR}/vfio_user_server.cpp)
target_link_libraries(warden_vfio_server PRIVATE warden_flags fmt::fmt nlohmann_json::nlohmann_json)
