// SPDX-License-Identifier: Apache-2.0
// A memfd and a mapping of it by Boost.Interprocess: the ground that directory, ledgers and doorbell stand on.
#pragma once

#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::shm {

// kYes: every page is there before it is first touched, which then costs no fault.
enum class Prefault : bool { kNo, kYes };

// A sealable anonymous file. Boost maps whatever answers get_mapping_handle().
class Memory {
 public:
  // Of exactly size_bytes, zeroed, CLOEXEC, sealable. `name` shows in /proc/PID/maps.
  [[nodiscard]] static Result<Memory> create(const std::string& name, std::size_t size_bytes);
  // Takes a descriptor somebody handed us. The caller checks seals and size before mapping it.
  explicit Memory(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  // F_SEAL_* bits; call with F_SEAL_FUTURE_WRITE only after the writer's own mapping exists.
  [[nodiscard]] Status seal(int seals);
  [[nodiscard]] Result<int> seals() const;
  [[nodiscard]] Result<std::size_t> size_bytes() const;
  // kProtocol unless it has exactly this size and these seals.
  [[nodiscard]] Status check(std::size_t size_bytes, int seals) const;

  [[nodiscard]] Result<boost::interprocess::mapped_region> map(boost::interprocess::mode_t mode,
                                                               Prefault prefault = Prefault::kNo) const;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const noexcept {
    return boost::interprocess::ipcdetail::mapping_handle_from_file_handle(fd_.get());
  }

 private:
  UniqueFd fd_;
};

}  // namespace warden::shm
