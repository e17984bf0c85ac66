# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_cli_process_tree SOURCES cli_process_tree_test.cpp LIBS warden_cli_parts Threads::Threads)
warden_add_test(test_cli_words SOURCES cli_words_test.cpp LIBS warden_cli_parts)
warden_add_test(test_cli_allocations SOURCES cli_allocations_test.cpp
                LIBS warden_cli_parts nlohmann_json::nlohmann_json)
warden_add_test(test_cli_doctor SOURCES cli_doctor_test.cpp LIBS warden_cli_parts warden_test_pci_tree)
