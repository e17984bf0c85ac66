// SPDX-License-Identifier: Apache-2.0
// Files that are whole or absent.
#include "tools/wardend/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace warden::daemon {

Result<std::string> read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno("open " + path);
  std::string text;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got == 0) return text;
    if (got > 0) text.append(chunk.data(), static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) return fail_errno("read " + path);
  }
}

Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno("write");
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<UniqueFd> replace_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return fail_errno("create " + fresh);
  if (Status written = write_all(file.get(), text); !written) return wrap(written.error(), fresh);
  if (::fdatasync(file.get()) != 0) return fail_errno("sync " + fresh);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("rename " + fresh + " to " + path);
  const std::string folder = path.substr(0, path.rfind('/'));
  const UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return fail_errno("sync " + folder);
  return file;
}

}  // namespace warden::daemon
