# SPDX-License-Identifier: Apache-2.0
# wardend killed, and wardend with clients that die or lie.
warden_add_test(test_wardend_fault
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/wardend_kill_test.cpp ${CMAKE_CURRENT_LIST_DIR}/wardend_client_test.cpp
  LIBS wardend_stack TIMEOUT 300)
