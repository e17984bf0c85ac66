# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_libwarden SOURCES libwarden_device_test.cpp libwarden_fork_test.cpp libwarden_listener_test.cpp
                                       libwarden_pollable_test.cpp libwarden_report_test.cpp libwarden_reset_test.cpp
                                       libwarden_scripted_wardend.cpp libwarden_session_test.cpp
                               LIBS warden_test_process warden warden_shm)
