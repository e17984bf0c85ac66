# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_e2e_mesh SOURCES ${CMAKE_CURRENT_LIST_DIR}/mesh_test.cpp
                LIBS warden_test_host warden nlohmann_json::nlohmann_json)
