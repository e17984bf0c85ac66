# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_allocation_unit
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_wire_test.cpp ${CMAKE_CURRENT_LIST_DIR}/allocation_book_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/allocation_connection_test.cpp ${CMAKE_CURRENT_LIST_DIR}/allocation_report_test.cpp
  LIBS warden_daemon warden_test_allocation)
