# SPDX-License-Identifier: Apache-2.0
set(room ${CMAKE_CURRENT_LIST_DIR})
warden_add_test(test_vfio_kernel SOURCES ${room}/vfio_dma_space_test.cpp ${room}/vfio_kernel_open_test.cpp
                LIBS warden_vfio warden_test_pci_tree)
