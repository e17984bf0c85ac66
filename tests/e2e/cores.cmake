# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_e2e_cores SOURCES ${CMAKE_CURRENT_LIST_DIR}/cores_test.cpp LIBS warden_test_host warden)
