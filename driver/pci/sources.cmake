# SPDX-License-Identifier: Apache-2.0
# What the host's kernel says of its PCI functions, and who drives them.
set(here ${CMAKE_CURRENT_LIST_DIR})
add_library(warden_pci STATIC
  ${here}/address.cpp ${here}/binding.cpp ${here}/binding_checks.cpp ${here}/binding_record.cpp ${here}/function.cpp
  ${here}/mover.cpp ${here}/patient_write.cpp ${here}/sysfs.cpp ${here}/use.cpp)
target_link_libraries(warden_pci PRIVATE warden_flags fmt::fmt)
