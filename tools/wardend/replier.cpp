// SPDX-License-Identifier: Apache-2.0
// Answers, short and long.
#include "tools/wardend/replier.h"

#include <fcntl.h>

#include "shm/memory.h"
#include "shm/socket.h"
#include "tools/wardend/files.h"

namespace warden::daemon {

namespace {

Result<shm::Memory> memory_holding(std::string_view text) {
  auto memory = shm::Memory::create("warden-reply", text.size());
  if (!memory) return memory;
  if (Status written = write_all(memory->fd(), text); !written) return std::unexpected(written.error());
  const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (Status sealed = memory->seal(seals); !sealed) return std::unexpected(sealed.error());
  return memory;
}

std::span<const std::byte> bytes_of_text(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

void Replier::done(const Session& session, std::uint32_t request, std::span<const std::byte> body,
                   std::span<const int> fds) const {
  send(session, request, 0, body, fds);
}

void Replier::refuse(const Session& session, std::uint32_t request, const Error& error) const {
  send(session, request, static_cast<std::uint32_t>(error.code), bytes_of_text(error.message), {});
}

void Replier::text(const Session& session, std::uint32_t request, std::string_view text) const {
  if (text.size() <= shm::kInlineTextBytes) return send(session, request, 0, bytes_of_text(text), {});
  const auto memory = memory_holding(text);
  if (!memory) return refuse(session, request, memory.error());
  const int fd = memory->fd();
  send(session, request, 0, {}, {&fd, 1});
}

void Replier::send(const Session& session, std::uint32_t request, std::uint32_t code, std::span<const std::byte> body,
                   std::span<const int> fds) const {
  const Status sent = shm::send_packet(session.socket.get(), shm::reply_header(request, code), body, {}, fds);
  if (!sent) drop_(session.identity.id, "can't be answered: " + sent.error().message);
}

}  // namespace warden::daemon
