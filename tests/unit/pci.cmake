# SPDX-License-Identifier: Apache-2.0
set(room ${CMAKE_CURRENT_LIST_DIR})
warden_add_test(test_pci
  SOURCES ${room}/pci_binding_test.cpp ${room}/pci_function_test.cpp
  LIBS warden_pci warden_test_pci_tree)
