// SPDX-License-Identifier: Apache-2.0
// See line_channel.h.
#include "tests/vm/line_channel.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace warden::vm {

Status LineChannel::send(std::string_view line) {
  std::string text(line);
  text += '\n';
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::write(descriptor_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write a line");
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::string> LineChannel::receive(Clock::time_point deadline) {
  while (true) {
    if (const std::size_t end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd readable{.fd = descriptor_.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000)));
    if (ready < 0 && errno != EINTR) return fail_errno("wait for a line");
    if (ready == 0 && Clock::now() >= deadline) return fail(Code::kTimeout, "no line came before the deadline");
    if (ready <= 0) continue;
    std::array<char, 4096> piece;
    const ssize_t count = ::read(descriptor_.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read a line");
    if (count == 0) return fail(Code::kDisconnected, "the other end closed the line");
    received_.append(piece.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace warden::vm
