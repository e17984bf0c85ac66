# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_e2e_bind SOURCES bind_test.cpp doctor_test.cpp
                LIBS warden_test_pci_tree nlohmann_json::nlohmann_json)
add_dependencies(test_e2e_bind warden-cli)
