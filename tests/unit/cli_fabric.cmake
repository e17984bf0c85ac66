# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_cli_fabric SOURCES cli_fabric_words_test.cpp cli_fabric_svg_test.cpp cli_fabric_flows_test.cpp
                LIBS warden_cli_fabric warden_test_process)
