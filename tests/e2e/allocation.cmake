# SPDX-License-Identifier: Apache-2.0
add_library(warden_test_allocation STATIC ${CMAKE_SOURCE_DIR}/tests/support/allocation_peer.cpp)
target_link_libraries(warden_test_allocation PRIVATE warden_flags GTest::gtest PUBLIC warden_test_host)

warden_add_test(test_e2e_allocation
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_test.cpp ${CMAKE_CURRENT_LIST_DIR}/allocation_owner_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/allocation_programs_test.cpp
  LIBS warden_test_allocation)
add_dependencies(test_e2e_allocation allocation_server_poc dump_remaining_buffers)
