# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_fabric_reset SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_reset_test.cpp
                LIBS warden_test_host warden_test_fabric warden_cli_fabric)
