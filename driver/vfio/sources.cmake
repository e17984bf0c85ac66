# SPDX-License-Identifier: Apache-2.0
# The device interface and its client backends.
add_library(warden_vfio STATIC
  ${CMAKE_CURRENT_LIST_DIR}/device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/dma_space.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fault_handler.cpp
  ${CMAKE_CURRENT_LIST_DIR}/group_space.cpp
  ${CMAKE_CURRENT_LIST_DIR}/iommufd_space.cpp
  ${CMAKE_CURRENT_LIST_DIR}/iova_allocator.cpp
  ${CMAKE_CURRENT_LIST_DIR}/kernel_device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/kernel_host.cpp
  ${CMAKE_CURRENT_LIST_DIR}/kernel_open.cpp
  ${CMAKE_CURRENT_LIST_DIR}/kernel_reset.cpp
  ${CMAKE_CURRENT_LIST_DIR}/learnt_device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mapping.cpp
  ${CMAKE_CURRENT_LIST_DIR}/vfio_user_channel.cpp
  ${CMAKE_CURRENT_LIST_DIR}/vfio_user_client.cpp
  ${CMAKE_CURRENT_LIST_DIR}/vfio_user_open.cpp)
target_link_libraries(warden_vfio PRIVATE warden_flags fmt::fmt nlohmann_json::nlohmann_json
                      PUBLIC warden_pci Threads::Threads)
