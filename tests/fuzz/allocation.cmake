# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_allocation_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/allocation_fuzz_test.cpp
                LIBS warden_test_allocation)
