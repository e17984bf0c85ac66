# SPDX-License-Identifier: Apache-2.0
# What people type, run as they run it: real processes against a simulated card.
foreach(test cli completions listen examples demo man)
  warden_add_test(test_e2e_${test} SOURCES ${test}_test.cpp
                  LIBS warden_test_host warden_cli_parts nlohmann_json::nlohmann_json)
endforeach()
