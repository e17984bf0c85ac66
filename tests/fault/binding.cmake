# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_fault_binding SOURCES ${CMAKE_CURRENT_LIST_DIR}/binding_kill_test.cpp LIBS warden_test_pci_tree)
add_dependencies(test_fault_binding warden-cli)
