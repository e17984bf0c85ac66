# SPDX-License-Identifier: Apache-2.0
# The fabric under traffic, paused, broken and healed.
warden_add_test(test_fabric_soak SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_soak_test.cpp LIBS warden_test_fabric
                TIMEOUT 600 PROCESSORS 2)
warden_add_test(test_fabric_broken SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_broken_test.cpp LIBS warden_test_fabric
                TIMEOUT 300)
warden_add_test(test_fabric_kill SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_kill_test.cpp LIBS warden_test_fabric
                TIMEOUT 300)
warden_add_test(test_fabric_worker_kill SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_worker_kill_test.cpp
                LIBS warden_test_fabric TIMEOUT 300)
warden_add_test(test_fabric_cut_kill SOURCES ${CMAKE_CURRENT_LIST_DIR}/fabric_cut_kill_test.cpp
                LIBS warden_test_fabric TIMEOUT 300)
