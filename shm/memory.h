// SPDX-License-Identifier: Apache-2.0
// A memfd and a mapping of it by Boost.Interprocess: the ground that directory, ledgers and doorbell stand on.
#pragma once

#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::shm {

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

  // Which file it is, whatever descriptor names it.
  struct FileId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    auto operator<=>(const FileId&) const = default;
  };
  [[nodiscard]] Result<FileId> file_id() const;

  // The first size_bytes of it; 0: all.
  [[nodiscard]] Result<boost::interprocess::mapped_region> map(boost::interprocess::mode_t mode,
                                                               std::size_t size_bytes = 0) const;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const noexcept {
    return boost::interprocess::ipcdetail::mapping_handle_from_file_handle(fd_.get());
  }

 private:
  UniqueFd fd_;
};

// Brings every page in before it is first touched, which then costs no fault.
void prefault(const boost::interprocess::mapped_region& region) noexcept;

}  // namespace warden::shm
