# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_wardend_broker
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/broker_test.cpp ${CMAKE_CURRENT_LIST_DIR}/direct_test.cpp
  LIBS wardend_stack warden_chip warden_shm TIMEOUT 180)
