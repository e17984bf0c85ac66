// SPDX-License-Identifier: Apache-2.0
// Answers with a chain of capabilities behind them (struct vfio_info_cap_header): the kernel's, and vfio-user's, which
// are laid out alike.
#pragma once

#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <warden/result.h>

namespace warden::vfio {

// The struct at `offset`; zeros where the bytes end.
template <typename T>
[[nodiscard]] T load_from(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  if (offset < bytes.size()) {
    std::memcpy(static_cast<void*>(&value), bytes.data() + offset, std::min(sizeof(T), bytes.size() - offset));
  }
  return value;
}

// `use(id, bytes from the capability's header on)` for each, from `offset` (0: there are none). Ends with the bytes.
template <typename Use>
void each_capability(std::span<const std::byte> answer, std::size_t offset, Use use) {
  while (offset != 0 && offset + sizeof(vfio_info_cap_header) <= answer.size()) {
    const auto header = load_from<vfio_info_cap_header>(answer, offset);
    use(header.id, answer.subspan(offset));
    if (header.next <= offset) return;  // the chain only goes on
    offset = header.next;
  }
}

// An answer that begins with a T and is as long as its `argsz` says.
template <typename T>
class CapabilityAnswer {
 public:
  explicit CapabilityAnswer(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] T fixed() const { return load_from<T>(bytes_, 0); }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Asks twice where the first answer says that there is more. `asked` carries the question; its argsz is set here.
template <typename T>
[[nodiscard]] Result<CapabilityAnswer<T>> ask_with_capabilities(int fd, unsigned long request, T asked = {}) {
  asked.argsz = sizeof(T);
  std::vector<std::byte> bytes(sizeof(T));
  for (;;) {
    std::memcpy(bytes.data(), &asked, sizeof(T));
    if (::ioctl(fd, request, bytes.data()) != 0) {
      return fail(code_of_errno(errno), std::strerror(errno));
    }
    const std::size_t size_bytes = load_from<T>(bytes, 0).argsz;
    if (size_bytes <= bytes.size()) return CapabilityAnswer<T>(std::move(bytes));
    bytes.assign(size_bytes, std::byte{0});
    asked.argsz = static_cast<std::uint32_t>(size_bytes);
  }
}

}  // namespace warden::vfio
