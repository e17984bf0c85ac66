# SPDX-License-Identifier: Apache-2.0
foreach(test fabric_cli fabric_cli_kill)
  warden_add_test(test_e2e_${test} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${test}_test.cpp
                  LIBS warden_test_host nlohmann_json::nlohmann_json TIMEOUT 300)
endforeach()
