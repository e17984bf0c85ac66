// SPDX-License-Identifier: Apache-2.0
// A write into the kernel's files that may take as long as somebody else likes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <warden/result.h>

namespace warden::pci {

// As Sysfs::write, but kTimeout when the kernel has not answered by then. The write goes on in a process of its own,
// also when the caller is killed. It can't be killed while the kernel keeps it, ends with the write, and holds nothing
// of the caller's but the descriptor `lock`, so that it is seen to be under way as long as it is.
[[nodiscard]] Status write_within(const std::string& path, std::string_view text, std::chrono::milliseconds timeout,
                                  int lock);

}  // namespace warden::pci
