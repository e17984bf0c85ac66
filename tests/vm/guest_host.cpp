// SPDX-License-Identifier: Apache-2.0
// The guest's end of the second serial line: one request at a time, whoever asks, as one line of JSON each way.
#include "tests/vm/guest_host.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/vm/line_channel.h"

namespace warden::vm {

namespace {

constexpr std::chrono::seconds kPatience{90};  // longer than the host's own

// Nobody tells when a lock becomes free in time.
Status take_turn(int descriptor, Clock::time_point deadline) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock the line to the host");
    if (Clock::now() > deadline) return fail(Code::kTimeout, "others have kept the line to the host busy");
    ::usleep(1000);
  }
  return {};
}

}  // namespace

Result<std::string> ask_host(const std::vector<std::string>& request) {
  const char* path = std::getenv("WARDEN_VM_HOST");
  if (path == nullptr)
    return fail(Code::kUnsupported, "no host to ask: $WARDEN_VM_HOST is not set; run it in the guest");
  UniqueFd line(::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!line) return fail_errno(std::string("open ") + path);
  const auto deadline = Clock::now() + kPatience;
  if (Status turn = take_turn(line.get(), deadline); !turn) return std::unexpected(turn.error());
  // An answer to somebody who was killed while waiting for it may come first.
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) return fail_errno("getrandom");
  LineChannel channel(std::move(line));
  if (Status sent = channel.send(nlohmann::json{{"number", number}, {"request", request}}.dump()); !sent) {
    return std::unexpected(sent.error());
  }
  while (true) {
    const Result<std::string> answer = channel.receive(deadline);
    if (!answer) return wrap(answer.error(), "the host's answer");
    const nlohmann::json parsed = nlohmann::json::parse(*answer, nullptr, false);
    if (!parsed.is_object() || parsed.value("number", std::uint64_t{0}) != number) continue;
    if (!parsed.value("done", false)) return fail(Code::kFailed, parsed.value("text", ""));
    return parsed.value("text", "");
  }
}

}  // namespace warden::vm
