#SPDX - License - Identifier : Apache - 2.0
#The exit watcher with real processes and the real kernel.
warden_add_test(test_exit_watcher SOURCES ${CMAKE_CURRENT_LIST_DIR} /
                exit_watcher_fixture.cpp ${CMAKE_CURRENT_LIST_DIR} /
                exit_watcher_test.cpp LIBS warden_bpf Threads::Threads TIMEOUT 300)
