# SPDX-License-Identifier: Apache-2.0
# A program outside this tree builds against an installed libwarden, by find_package and by pkg-config.
add_test(NAME libwarden.installed
         COMMAND ${CMAKE_COMMAND} -D BUILD=${CMAKE_BINARY_DIR} -D SOURCE=${CMAKE_CURRENT_SOURCE_DIR}/libwarden_external
                 -D COMPILER=${CMAKE_CXX_COMPILER} -D SANITIZE=${WARDEN_SANITIZE}
                 -P ${CMAKE_CURRENT_SOURCE_DIR}/libwarden_external/installed_test.cmake)
set_tests_properties(libwarden.installed PROPERTIES TIMEOUT 300)
# Builds the library a second time, which a sanitizer would only make longer: it says nothing about packaging.
if(NOT WARDEN_SANITIZE)
  add_test(NAME libwarden.installed_shared
           COMMAND ${CMAKE_COMMAND} -D BUILD=${CMAKE_BINARY_DIR}
                    -D SOURCE=${CMAKE_CURRENT_SOURCE_DIR}/libwarden_external
                   -D COMPILER=${CMAKE_CXX_COMPILER} -D SHARED=ON
                   -P ${CMAKE_CURRENT_SOURCE_DIR}/libwarden_external/installed_test.cmake)
  set_tests_properties(libwarden.installed_shared PROPERTIES TIMEOUT 600)
endif()

# The library against the real daemon and a simulated card.
warden_add_test(test_libwarden_e2e SOURCES libwarden_test.cpp LIBS warden_test_host warden warden_shm)
