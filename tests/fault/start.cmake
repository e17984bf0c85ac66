# SPDX-License-Identifier: Apache-2.0
# Cards that do not work when wardend starts.
warden_add_test(test_start SOURCES ${CMAKE_CURRENT_LIST_DIR}/start_test.cpp
                LIBS warden_test_host nlohmann_json::nlohmann_json)
