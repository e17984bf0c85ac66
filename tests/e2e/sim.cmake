# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_sim_process
  SOURCES sim_protocol_test.cpp sim_deterministic_test.cpp sim_program_test.cpp sim_process.cpp
  LIBS warden_test_process nlohmann_json::nlohmann_json)
add_dependencies(test_sim_process warden-sim)
