# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_e2e_container SOURCES ${CMAKE_CURRENT_LIST_DIR}/container_test.cpp
                LIBS warden_test_host nlohmann_json::nlohmann_json)
add_dependencies(test_e2e_container wardend_listener)
