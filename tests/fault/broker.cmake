# SPDX-License-Identifier: Apache-2.0
# Windows and DMA memory when their holders, or wardend's worker, are killed.
warden_add_test(test_broker_fault
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/broker_kill_test.cpp ${CMAKE_CURRENT_LIST_DIR}/broker_quarantine_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/broker_reopen_test.cpp
  LIBS wardend_stack warden_shm TIMEOUT 300)
