// SPDX-License-Identifier: Apache-2.0
// The one vocabulary every part of Warden shares: a value, or an error that says what was refused and why.
// A leaf: it includes nothing of Warden's, so any folder may include it.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace warden {

// What kind of refusal it was. Callers branch on this; people read the message.
// The values cross the session socket: never renumber, only append.
enum class Code : int {
  kInvalidArgument = 1,  // the caller asked for something that cannot be
  kNotFound = 2,         // no such device, file, listener
  kPermission = 3,       // the caller lacks the right
  kBusy = 4,             // somebody else holds it now; trying later may help
  kTimeout = 5,          // awaited something that did not come before its deadline
  kResetting = 6,        // the device is being reset; try again after the result
  kStale = 7,            // the handle is from before a reset; open the device again
  kOffBus = 8,           // the card does not answer at all (reads give all ones)
  kProtocol = 9,         // the peer broke the protocol
  kUnsupported = 10,     // this device or build cannot do that
  kIo = 11,              // a system call failed
  kDisconnected = 12,    // the peer is gone
  kFailed = 13,          // it was tried, and it did not work
};

[[nodiscard]] constexpr std::string_view to_string(Code code) noexcept {
  switch (code) {
    case Code::kInvalidArgument: return "invalid argument";
    case Code::kNotFound: return "not found";
    case Code::kPermission: return "permission denied";
    case Code::kBusy: return "busy";
    case Code::kTimeout: return "timed out";
    case Code::kResetting: return "resetting";
    case Code::kStale: return "stale";
    case Code::kOffBus: return "off the bus";
    case Code::kProtocol: return "protocol error";
    case Code::kUnsupported: return "unsupported";
    case Code::kIo: return "input/output error";
    case Code::kDisconnected: return "disconnected";
    case Code::kFailed: return "failed";
  }
  return "unknown";
}

struct Error {
  Code code = Code::kFailed;
  std::string message;

  // The same refusal seen from one layer up: `open chip0.sock: Connection refused`.
  [[nodiscard]] Error in(std::string_view doing) && {
    message.insert(0, std::string(doing) + ": ");
    return std::move(*this);
  }
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

// For a system call that just failed: the code is derived from `error_number` (errno unless told).
[[nodiscard]] inline Code code_of_errno(int error_number) noexcept {
  switch (error_number) {
    case EACCES:
    case EPERM: return Code::kPermission;
    case ENOENT:
    case ENODEV:
    case ENXIO: return Code::kNotFound;
    case EBUSY:
    case EEXIST:
    case EADDRINUSE: return Code::kBusy;
    case ETIMEDOUT:
    case EAGAIN: return Code::kTimeout;
    case EINVAL: return Code::kInvalidArgument;
    case EOPNOTSUPP:
    case ENOSYS: return Code::kUnsupported;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case ENOTCONN: return Code::kDisconnected;
    case EPROTO:
    case EBADMSG: return Code::kProtocol;
    default: return Code::kIo;
  }
}

[[nodiscard]] inline std::unexpected<Error> fail_errno(std::string_view doing, int error_number = errno) {
  return fail(code_of_errno(error_number), std::string(doing) + ": " + std::strerror(error_number));
}

// `return std::move(result).error().in("...")` as a Result of another type.
[[nodiscard]] inline std::unexpected<Error> wrap(Error error, std::string_view doing) {
  return std::unexpected(std::move(error).in(doing));
}

}  // namespace warden
