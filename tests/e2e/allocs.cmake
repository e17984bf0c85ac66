# SPDX-License-Identifier: Apache-2.0
# What people ask about allocations, of a real wardend with real clients.
warden_add_test(test_e2e_allocs
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocs_test.cpp ${CMAKE_CURRENT_LIST_DIR}/allocs_watch_test.cpp
  LIBS warden_test_allocation warden nlohmann_json::nlohmann_json)
add_dependencies(test_e2e_allocs dump_remaining_buffers)
