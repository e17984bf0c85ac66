# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_fabric_unit
                SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_plan_test.cpp ${CMAKE_CURRENT_LIST_DIR}/fabric_routes_test.cpp
                        ${CMAKE_CURRENT_LIST_DIR}/fabric_topology_test.cpp
                LIBS warden_fabric)
