// SPDX-License-Identifier: Apache-2.0
// Sealed anonymous files and their mappings.
#include "shm/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <boost/interprocess/exceptions.hpp>

namespace warden::shm {

namespace ipc = boost::interprocess;

Result<Memory> Memory::create(const std::string& name, std::size_t size_bytes) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("memfd_create " + name);
  // A memfd is born 0777: without this, whoever holds a read-only descriptor could reopen it for writing.
  if (::fchmod(fd.get(), 0600) != 0) return fail_errno("fchmod of memfd " + name);
  if (::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0) {
    return fail_errno("grow memfd " + name + " to " + std::to_string(size_bytes) + " bytes");
  }
  return Memory(std::move(fd));
}

Status Memory::seal(int seals) {
  if (::fcntl(fd_.get(), F_ADD_SEALS, seals) != 0) return fail_errno("seal shared memory");
  return {};
}

Result<int> Memory::seals() const {
  const int seals = ::fcntl(fd_.get(), F_GET_SEALS);
  if (seals < 0) return fail_errno("read the seals of shared memory");
  return seals;
}

Result<std::size_t> Memory::size_bytes() const {
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) return fail_errno("fstat of shared memory");
  return static_cast<std::size_t>(status.st_size);
}

Status Memory::check(std::size_t size_bytes, int seals) const {
  const auto has_seals = this->seals();
  if (!has_seals) return fail(Code::kProtocol, "shared memory is not a sealed memfd: " + has_seals.error().message);
  // Seals first: before SHRINK and GROW are on, a size means nothing.
  if ((*has_seals & seals) != seals) {
    return fail(Code::kProtocol,
                "shared memory has seals " + std::to_string(*has_seals) + ", " + std::to_string(seals) + " are needed");
  }
  const auto has_bytes = this->size_bytes();
  if (!has_bytes) return std::unexpected(has_bytes.error());
  if (*has_bytes != size_bytes) {
    return fail(Code::kProtocol, "shared memory has " + std::to_string(*has_bytes) + " bytes, " +
                                     std::to_string(size_bytes) + " were expected");
  }
  return {};
}

Result<Memory::FileId> Memory::file_id() const {
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) return fail_errno("fstat of shared memory");
  return FileId{status.st_dev, status.st_ino};
}

Result<ipc::mapped_region> Memory::map(ipc::mode_t mode, std::size_t size_bytes) const {
  try {
    return ipc::mapped_region(*this, mode, 0, size_bytes);
  } catch (const ipc::interprocess_exception& error) {
    return fail_errno("map shared memory", error.get_native_error());
  }
}

void prefault(const ipc::mapped_region& region) noexcept {
  // A page that can't be had now is had when it is touched.
  (void)::madvise(region.get_address(), region.get_size(), MADV_POPULATE_READ);
}

}  // namespace warden::shm
