// SPDX-License-Identifier: Apache-2.0
// Answers to requests. Sending never blocks: a client that does not read its answers is dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <warden/result.h>

#include "tools/wardend/session.h"

namespace warden::daemon {

// Threads: any.
class Replier {
 public:
  // `drop` is called, on the replying thread, when a session can't be answered any more.
  using Drop = std::function<void(std::uint64_t session_id, std::string reason)>;
  explicit Replier(Drop drop) : drop_(std::move(drop)) {}

  void done(const Session& session, std::uint32_t request, std::span<const std::byte> body = {},
            std::span<const int> fds = {}) const;
  void refuse(const Session& session, std::uint32_t request, const Error& error) const;
  // Inline, or as a sealed memfd when it is long.
  void text(const Session& session, std::uint32_t request, std::string_view text) const;

 private:
  void send(const Session& session, std::uint32_t request, std::uint32_t code, std::span<const std::byte> body,
            std::span<const int> fds) const;
  Drop drop_;
};

template <typename Body>
[[nodiscard]] std::span<const std::byte> bytes_of(const Body& body) {
  return std::as_bytes(std::span(&body, 1));
}

}  // namespace warden::daemon
