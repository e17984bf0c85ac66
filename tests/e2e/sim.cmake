# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_sim_process
  SOURCES sim_protocol_test.cpp sim_program_test.cpp sim_process.cpp
  LIBS nlohmann_json::nlohmann_json)
target_compile_definitions(test_sim_process PRIVATE WARDEN_SIM_PROGRAM="$<TARGET_FILE:warden-sim>")
add_dependencies(test_sim_process warden-sim)
