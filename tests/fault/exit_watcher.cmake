# SPDX-License-Identifier: Apache-2.0
# The exit watcher with real processes and the real kernel.
enable_language(C)
add_executable(exit_victim exit_victim.c)
target_compile_options(exit_victim PRIVATE -Wall -Wextra -Wpedantic)
target_link_libraries(exit_victim PRIVATE Threads::Threads)
set(room ${CMAKE_CURRENT_LIST_DIR})
warden_add_test(test_exit_watcher
  SOURCES ${room}/exit_watcher_fixture.cpp ${room}/exit_watcher_test.cpp ${room}/exit_watcher_hook_test.cpp
          ${room}/exit_watcher_rights_test.cpp
  LIBS warden_bpf warden_shm warden_daemon PkgConfig::LIBBPF Threads::Threads TIMEOUT 300 ALONE *UsedAgain*)
target_compile_definitions(test_exit_watcher PRIVATE WARDEN_EXIT_VICTIM="$<TARGET_FILE:exit_victim>")
add_dependencies(test_exit_watcher exit_victim)
