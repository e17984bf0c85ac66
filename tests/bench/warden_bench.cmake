# SPDX-License-Identifier: Apache-2.0
warden_bpf_skeleton(bare_exit)
add_executable(warden-bench
  acknowledge_bench.cpp allocation_bench.cpp bare_exit.cpp batch_bench.cpp child.cpp exit_bench.cpp fabric_bench.cpp
  futex_waker.cpp idle_bench.cpp interpreter_bench.cpp kernel_vfio_bench.cpp libwarden_waker.cpp main.cpp
  mapped_access_bench.cpp measure.cpp
  reap_bench.cpp reap_crowd_bench.cpp reap_host.cpp umd_waker.cpp vfio_user_bench.cpp
  vfio_user_write_bench.cpp victim.cpp wake_bench.cpp)
target_link_libraries(warden-bench PRIVATE warden_flags warden_test_host warden_test_fabric warden warden_shm warden_bpf
                                           bare_exit_skeleton PkgConfig::LIBBPF warden_sim_model warden_chip
                                           warden_vfio fmt::fmt CLI11::CLI11
                                           nlohmann_json::nlohmann_json Boost::headers Threads::Threads)
add_dependencies(warden-bench wardend warden-sim)
# So that it does not rot between two measurements.
add_test(NAME bench_runs COMMAND warden-bench --quick)
set_tests_properties(bench_runs PROPERTIES TIMEOUT 120)
