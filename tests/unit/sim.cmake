# SPDX-License-Identifier: Apache-2.0
warden_add_test(test_sim_model
  SOURCES sim_windows_test.cpp sim_config_test.cpp sim_chip_test.cpp sim_reset_test.cpp sim_host_memory_test.cpp
          sim_rv32_test.cpp sim_cores_test.cpp sim_ethernet_test.cpp
  LIBS warden_sim_model fmt::fmt)
