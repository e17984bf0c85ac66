# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_wardend_broker SOURCES ${CMAKE_CURRENT_LIST_DIR}/broker_test.cpp LIBS wardend_stack TIMEOUT 180)
