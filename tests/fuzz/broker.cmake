# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_batch_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/batch_fuzz_test.cpp LIBS warden_daemon)
