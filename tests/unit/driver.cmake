# SPDX-License-Identifier: Apache-2.0
set(room ${CMAKE_CURRENT_LIST_DIR})
warden_add_test(test_driver
  SOURCES ${room}/driver_access_gate_test.cpp ${room}/driver_block_copy_test.cpp ${room}/driver_fault_handler_test.cpp
          ${room}/driver_iova_allocator_test.cpp ${room}/driver_noc_grid_test.cpp
          ${room}/driver_telemetry_test.cpp ${room}/driver_windows_test.cpp
  LIBS warden_chip warden_fake_device)
