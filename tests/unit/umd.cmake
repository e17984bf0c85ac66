# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_umd_bridge SOURCES ${CMAKE_CURRENT_LIST_DIR}/umd_test.cpp LIBS warden_daemon)
