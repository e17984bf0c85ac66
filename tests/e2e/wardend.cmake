# SPDX-License-Identifier: Apache-2.0
# wardend with real clients and a simulated card.
add_executable(wardend_listener ${CMAKE_CURRENT_LIST_DIR}/wardend_listener.cpp)
target_link_libraries(wardend_listener PRIVATE warden_flags warden)

add_library(wardend_stack STATIC ${CMAKE_CURRENT_LIST_DIR}/wardend_stack.cpp)
target_compile_definitions(wardend_stack PUBLIC WARDEND="$<TARGET_FILE:wardend>"
                                                WARDEND_LISTENER="$<TARGET_FILE:wardend_listener>")
target_link_libraries(wardend_stack PRIVATE warden_flags GTest::gtest
                                    PUBLIC warden_test_host warden fmt::fmt nlohmann_json::nlohmann_json Boost::headers)
add_dependencies(wardend_stack wardend_listener)

warden_add_test(test_wardend_e2e
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/wardend_reset_test.cpp ${CMAKE_CURRENT_LIST_DIR}/wardend_start_test.cpp
  LIBS wardend_stack TIMEOUT 180)
