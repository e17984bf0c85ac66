# SPDX-License-Identifier: Apache-2.0
# Proves that the installed library, its headers and both its package files are enough to build and run a program:
# installs into a directory of its own, moves the tree, builds a project there in both ways, and runs it.
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE output)
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Without wardend the program says what to do, which is the line expected here.
function(expect_the_cure program)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env WARDEN_SOCKET=${room}/none.sock ${program}
                  RESULT_VARIABLE status OUTPUT_VARIABLE said)
  if(NOT status EQUAL 1 OR NOT said MATCHES "^connect to .*none.sock: No such file or directory; start wardend")
    message(FATAL_ERROR "${program} ended with ${status} and said: ${said}")
  endif()
endfunction()

string(RANDOM LENGTH 12 name)
set(room ${BUILD}/installed-${name})
if(SANITIZE)
  set(flags -fsanitize=${SANITIZE})
endif()

# The static library is what the build at hand has made; a shared one is built here.
set(build ${BUILD})
if(SHARED)
  set(build ${room}/shared)
  cmake_path(GET SOURCE PARENT_PATH tree)
  cmake_path(SET tree NORMALIZE ${tree}/../..)
  run(${CMAKE_COMMAND} -S ${tree} -B ${build} -D BUILD_SHARED_LIBS=ON -D WARDEN_BUILD_TESTS=OFF
      -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_COMPILER=${COMPILER})
  run(${CMAKE_COMMAND} --build ${build} --target warden)
endif()

run(${CMAKE_COMMAND} --install ${build} --prefix ${room}/first --component libwarden)
file(RENAME ${room}/first ${room}/prefix)

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${room}/build -D CMAKE_PREFIX_PATH=${room}/prefix -D CMAKE_CXX_COMPILER=${COMPILER}
    -D CMAKE_CXX_FLAGS=${flags})
run(${CMAKE_COMMAND} --build ${room}/build)
expect_the_cure(${room}/build/external)

file(GLOB_RECURSE package ${room}/prefix/*/warden.pc)
cmake_path(GET package PARENT_PATH packages)
run(${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${packages} pkg-config --cflags --libs warden)
separate_arguments(options UNIX_COMMAND "${output}")
if(SHARED)
  file(GLOB_RECURSE library ${room}/prefix/*/libwarden.so)
  if(NOT library)
    message(FATAL_ERROR "no libwarden.so was installed")
  endif()
  cmake_path(GET library PARENT_PATH libraries)
  list(APPEND options -Wl,-rpath,${libraries})
endif()
run(${COMPILER} -std=c++23 ${flags} ${SOURCE}/main.cpp -o ${room}/by-pkg-config ${options})
expect_the_cure(${room}/by-pkg-config)

file(REMOVE_RECURSE ${room})
