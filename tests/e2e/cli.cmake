# SPDX-License-Identifier: Apache-2.0
# What people type, run as they run it: real processes against a simulated card.
add_library(warden_test_host STATIC ${CMAKE_SOURCE_DIR}/tests/support/host.cpp ${CMAKE_SOURCE_DIR}/tests/support/process.cpp)
target_link_libraries(warden_test_host PRIVATE warden_flags)
target_compile_definitions(warden_test_host PUBLIC WARDEN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                                                   WARDEN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_dependencies(warden_test_host warden-cli wardend warden-sim listener_example notifier_example demo_workload)

foreach(test cli listen examples demo)
  warden_add_test(test_e2e_${test} SOURCES ${test}_test.cpp
                  LIBS warden_test_host warden_cli_parts nlohmann_json::nlohmann_json)
endforeach()
