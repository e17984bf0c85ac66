# SPDX-License-Identifier: Apache-2.0
# What is done to the cards when a session ends.
warden_add_test(test_death
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/death_actions_test.cpp ${CMAKE_CURRENT_LIST_DIR}/death_hostile_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/death_kill_test.cpp ${CMAKE_CURRENT_LIST_DIR}/death_dma_test.cpp
  LIBS wardend_stack warden_shm TIMEOUT 300)
