# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_fault_allocation
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_hostile_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/allocation_server_kill_test.cpp
  LIBS warden_test_allocation TIMEOUT 300)
