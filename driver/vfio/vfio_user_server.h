// SPDX-License-Identifier: Apache-2.0
// The server half of vfio-user: one accepted connection, and the function behind it as an abstract target. Every
// message is checked for size, type and descriptors here, so that a target sees well-formed requests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/vfio/device.h"
#include "driver/vfio/vfio_user_wire.h"

namespace warden::vfio {

// What a target answers: a value, or the errno that the client shall see.
template <typename T>
using Reply = std::expected<T, int>;

// The function that a client talks to. Called from the thread that serves the connection, one call at a time.
class VfioUserTarget {
 public:
  VfioUserTarget(const VfioUserTarget&) = delete;
  VfioUserTarget& operator=(const VfioUserTarget&) = delete;
  virtual ~VfioUserTarget() = default;

  [[nodiscard]] virtual DeviceInfo info() = 0;
  // Asked for indices below info().region_count and info().irq_count only.
  [[nodiscard]] virtual RegionInfo region(std::uint32_t index) = 0;
  [[nodiscard]] virtual IrqInfo irq(std::uint32_t index) = 0;

  // The range lies inside the region and is at most wire::kMaxTransferBytes long.
  [[nodiscard]] virtual Reply<void> read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) = 0;
  [[nodiscard]] virtual Reply<void> write(std::uint32_t region, std::uint64_t offset,
                                          std::span<const std::byte> from) = 0;

  // `memory` is empty when the client gave no descriptor. iova + size_bytes does not wrap.
  [[nodiscard]] virtual Reply<void> dma_map(Iova iova, std::uint64_t size_bytes, UniqueFd memory, std::uint64_t offset,
                                            DmaAccess access) = 0;
  [[nodiscard]] virtual Reply<void> dma_unmap(Iova iova, std::uint64_t size_bytes) = 0;
  virtual void dma_unmap_all() = 0;

  // Vectors start..start+eventfds.size()-1, all of them below irq(index).count; an empty one takes its vector away.
  [[nodiscard]] virtual Reply<void> set_irq_eventfds(std::uint32_t index, std::uint32_t start,
                                                     std::vector<UniqueFd> eventfds) = 0;
  [[nodiscard]] virtual Reply<void> trigger_irqs(std::uint32_t index, std::uint32_t start, std::uint32_t count) = 0;
  [[nodiscard]] virtual Reply<void> disable_irqs(std::uint32_t index) = 0;

  // Returns when the function can be used again.
  [[nodiscard]] virtual Reply<void> reset() = 0;

 protected:
  VfioUserTarget() = default;
};

// Whether the peer has to say which version it speaks, or was told what is spoken when it was handed its end.
enum class VersionAgreed : bool { kHere = false, kBefore = true };

// One connection. Owner: whoever accepted it; the target outlives it. Threads: serve() runs on one thread, stop()
// and peer_gone() may be called from any other while the session lives.
class VfioUserSession {
 public:
  VfioUserSession(UniqueFd socket, VfioUserTarget& target, VersionAgreed version = VersionAgreed::kHere);

  // Blocks until the peer closes the connection between two messages (success), breaks the protocol or the
  // connection fails (the error says how), or stop() is called (either).
  [[nodiscard]] Status serve();

  void stop() noexcept;
  // Whether the peer has closed its end, although requests of its may still wait to be served.
  [[nodiscard]] bool peer_gone() const noexcept;

 private:
  struct Message {
    wire::Header header{};
    std::span<const std::byte> payload;
    std::vector<UniqueFd> descriptors;
  };
  // Descriptors that came with the message which starts at this place of the buffer.
  struct Arrived {
    std::size_t begin = 0;
    std::vector<UniqueFd> descriptors;
  };
  // Bytes of payload put into reply_, or the errno of an error reply.
  using Answer = Reply<std::size_t>;
  using Handler = Answer (VfioUserSession::*)(Message&);
  struct CommandRow {
    wire::Command command;
    std::size_t payload_bytes_min;
    std::size_t descriptors_max;
    Handler handler;
  };
  static const CommandRow kCommands[];

  [[nodiscard]] Result<bool> next_message(Message& message);
  [[nodiscard]] Result<bool> receive();
  void make_room();
  void take_descriptors(std::vector<UniqueFd> descriptors);
  [[nodiscard]] Status dispatch(Message& message);
  [[nodiscard]] Status send_reply(const wire::Header& request, Answer answer);

  Answer version(Message& message);
  Answer device_info(Message& message);
  Answer region_info(Message& message);
  Answer irq_info(Message& message);
  Answer set_irqs(Message& message);
  Answer region_read(Message& message);
  Answer region_write(Message& message);
  Answer dma_map(Message& message);
  Answer dma_unmap(Message& message);
  Answer device_reset(Message& message);

  [[nodiscard]] std::span<std::byte> reply_payload() noexcept;
  // Drops the peer once the reply to the current message is out.
  Answer violation(std::string reason, int error_number);

  UniqueFd socket_;
  VfioUserTarget& target_;
  DeviceInfo info_;
  std::vector<RegionInfo> regions_;
  std::vector<std::byte> buffer_;  // received and not yet served: [begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::vector<Arrived> arrived_;
  std::vector<std::byte> reply_;
  bool negotiated_;
  std::string violation_;
};

// Answers the first request of a peer that can't be served (EBUSY and the like): `request` is what has arrived of
// it. False if that is no request. Never blocks.
bool refuse_peer(int socket, std::span<const std::byte> request, int error_number) noexcept;

}  // namespace warden::vfio
