# SPDX-License-Identifier: Apache-2.0
add_library(warden_fake_device STATIC ${CMAKE_CURRENT_LIST_DIR}/fake_device.cpp)
target_link_libraries(warden_fake_device PRIVATE warden_flags fmt::fmt PUBLIC warden_vfio)

add_library(warden_test_simulator STATIC ${CMAKE_CURRENT_LIST_DIR}/simulator.cpp)
target_compile_definitions(warden_test_simulator PRIVATE WARDEN_SIM_PATH="$<TARGET_FILE:warden-sim>")
target_link_libraries(warden_test_simulator PRIVATE warden_flags warden_vm_guest PUBLIC nlohmann_json::nlohmann_json)
add_dependencies(warden_test_simulator warden-sim)

warden_add_test(test_device_conformance SOURCES ${CMAKE_CURRENT_LIST_DIR}/device_test.cpp
                LIBS warden_vfio warden_fake_device warden_test_simulator)
warden_add_test(test_wormhole
                SOURCES ${CMAKE_CURRENT_LIST_DIR}/wormhole_test.cpp ${CMAKE_CURRENT_LIST_DIR}/warm_reset_test.cpp
                LIBS warden_chip warden_test_simulator)
