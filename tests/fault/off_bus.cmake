# SPDX-License-Identifier: Apache-2.0
# Cards that are gone, in the middle of a reset or because the kernel wants them back.
warden_add_test(test_off_bus SOURCES ${CMAKE_CURRENT_LIST_DIR}/off_bus_test.cpp
                LIBS warden_test_host warden nlohmann_json::nlohmann_json)
add_dependencies(test_off_bus warden-cli wardend warden-sim)
warden_add_test(test_bus_word SOURCES ${CMAKE_CURRENT_LIST_DIR}/bus_word_test.cpp
                LIBS warden_test_host warden nlohmann_json::nlohmann_json)
add_dependencies(test_bus_word warden-cli wardend warden-sim)
