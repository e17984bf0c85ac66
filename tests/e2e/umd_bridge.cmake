# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_e2e_umd_bridge SOURCES ${CMAKE_CURRENT_LIST_DIR}/umd_bridge_test.cpp
                LIBS warden_test_host nlohmann_json::nlohmann_json)
