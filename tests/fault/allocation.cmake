# SPDX-License-Identifier: Apache-2.0
# Clients killed while they record and release.
warden_add_test(test_allocation_fault
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_kill_test.cpp LIBS warden_shm TIMEOUT 300)
