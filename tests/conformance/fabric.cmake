# SPDX-License-Identifier: Apache-2.0
add_library(warden_test_fabric STATIC ${CMAKE_CURRENT_LIST_DIR}/fabric_mesh.cpp
            ${CMAKE_CURRENT_LIST_DIR}/fabric_traffic.cpp)
target_link_libraries(warden_test_fabric PRIVATE warden_flags PUBLIC warden_fabric warden_test_simulator GTest::gtest)

warden_add_test(test_fabric_control SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_control_test.cpp LIBS warden_test_fabric)
warden_add_test(test_fabric_traffic SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_traffic_test.cpp LIBS warden_test_fabric)
warden_add_test(test_fabric_cut SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_cut_test.cpp LIBS warden_test_fabric)
