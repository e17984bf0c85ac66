# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_shm_fuzz SOURCES shm_fuzz_test.cpp LIBS warden_shm)
