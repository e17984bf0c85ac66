# SPDX-License-Identifier: Apache-2.0
# A client in another language, without Boost and without our headers.
enable_language(C)
add_executable(shm_plain_reader shm_plain_reader.c)
target_compile_options(shm_plain_reader PRIVATE -Wall -Wextra -Wpedantic)

warden_add_test(test_shm SOURCES shm_allocation_test.cpp shm_death_action_test.cpp shm_directory_test.cpp
                                 shm_futex_test.cpp shm_layout_test.cpp shm_ledger_test.cpp
                                 shm_peer_test.cpp shm_seal_test.cpp shm_socket_test.cpp
                         LIBS warden_test_process warden_shm)
target_compile_definitions(test_shm PRIVATE WARDEN_PLAIN_READER="$<TARGET_FILE:shm_plain_reader>")
add_dependencies(test_shm shm_plain_reader)
