# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_driver_protocol
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/driver_protocol_test.cpp ${CMAKE_CURRENT_LIST_DIR}/driver_scripted_server.cpp
  LIBS warden_vfio)
