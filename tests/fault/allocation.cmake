# SPDX-License-Identifier: Apache-2.0
# Clients killed while they record and release.
warden_add_test(test_allocation_fault
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_kill_test.cpp LIBS warden_shm TIMEOUT 300)
warden_add_test(test_allocation_ledger
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_ledger_test.cpp LIBS wardend_stack warden TIMEOUT 300)
