# SPDX-License-Identifier: Apache-2.0
# What wardend does about clients that die, by every way of noticing it.
warden_add_test(test_reaping
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/reaping_test.cpp ${CMAKE_CURRENT_LIST_DIR}/reaping_restart_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/reaping_away_test.cpp
  LIBS wardend_stack warden_shm warden_test_allocation TIMEOUT 300 ALONE *UsedAgain)
