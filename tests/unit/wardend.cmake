# SPDX-License-Identifier: Apache-2.0
# wardend's parts, each by itself.
warden_add_test(test_wardend_unit
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/wardend_transaction_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/wardend_transaction_fabric_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/wardend_dma_spaces_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/wardend_journal_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/wardend_keeper_test.cpp ${CMAKE_CURRENT_LIST_DIR}/wardend_device_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/wardend_session_test.cpp ${CMAKE_CURRENT_LIST_DIR}/wardend_listing_thread_test.cpp
  LIBS warden_daemon)
