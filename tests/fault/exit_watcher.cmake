# SPDX-License-Identifier: Apache-2.0
# The exit watcher with real processes and the real kernel.
set(room ${CMAKE_CURRENT_LIST_DIR})
warden_add_test(test_exit_watcher
  SOURCES ${room}/exit_watcher_fixture.cpp ${room}/exit_watcher_test.cpp ${room}/exit_watcher_hook_test.cpp
          ${room}/exit_watcher_rights_test.cpp
  LIBS warden_bpf warden_shm warden_daemon PkgConfig::LIBBPF Threads::Threads TIMEOUT 300)
