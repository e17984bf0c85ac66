# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_kernels
  SOURCES kernels_fabric.cpp kernels_hostile_test.cpp kernels_link_test.cpp kernels_slow_queue_test.cpp
          kernels_traffic_test.cpp
          kernels_watch_test.cpp kernels_worker_test.cpp
  LIBS warden_kernels warden_sim_model fmt::fmt)
