# SPDX-License-Identifier: Apache-2.0
# Cards that are gone in the middle of a reset.
warden_add_test(test_off_bus SOURCES ${CMAKE_CURRENT_LIST_DIR}/off_bus_test.cpp
                LIBS warden_test_host warden nlohmann_json::nlohmann_json)
add_dependencies(test_off_bus warden-cli wardend warden-sim)
