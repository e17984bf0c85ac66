// SPDX-License-Identifier: Apache-2.0
// DMA memory: asked for, mapped, given back.
#include <warden/dma_buffer.h>

#include <fcntl.h>
#include <sys/mman.h>

#include <utility>

#include "shm/memory.h"
#include "tools/libwarden/client.h"
#include "tools/libwarden/holding_number.h"

namespace warden {

namespace {

constexpr std::size_t kPageBytes = 4096;

// What wardend says, checked: memory that could shrink would kill its users.
Result<std::span<std::byte>> map_reply(shm::Packet& packet, const shm::DmaMapped& mapped) {
  if (packet.fds.size() != 1) return fail(Code::kProtocol, "wardend answered without the buffer's memory");
  const shm::Memory memory(std::move(packet.fds.front()));
  if (auto sound = memory.check(mapped.size_bytes, F_SEAL_SHRINK | F_SEAL_GROW); !sound) {
    return std::unexpected(std::move(sound).error());
  }
  void* base = ::mmap(nullptr, mapped.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd(), 0);
  if (base == MAP_FAILED) return fail_errno("map a DMA buffer");
  if (::madvise(base, mapped.size_bytes, MADV_DONTFORK) != 0) {
    auto failed = fail_errno("keep a DMA buffer from forked children");
    ::munmap(base, mapped.size_bytes);
    return failed;
  }
  return std::span(static_cast<std::byte*>(base), mapped.size_bytes);
}

}  // namespace

Result<DmaBuffer> DmaBuffer::map(const Device& device, std::size_t size_bytes) {
  if (size_bytes == 0 || size_bytes > SIZE_MAX - kPageBytes) {
    return fail(Code::kInvalidArgument, "a DMA buffer of " + std::to_string(size_bytes) + " bytes");
  }
  const shm::MapDma wanted{.device_index = device.index(),
                           .reserved = 0,
                           .epoch = device.epoch(),
                           .number = internal::next_holding_number(),
                           .size_bytes = (size_bytes + kPageBytes - 1) / kPageBytes * kPageBytes};
  auto reply = device.session_->client().request(shm::MessageKind::kMapDma, internal::bytes_of(wanted), {},
                                                 {.attachment = device.attachment_});
  if (!reply) return wrap(std::move(reply).error(), "map a DMA buffer");
  // From here on there is something to give back, whatever fails.
  DmaBuffer buffer(device.session_, device.attachment_, wanted.number);
  const auto mapped = shm::body_of<shm::DmaMapped>(reply->packet);
  if (!mapped) return std::unexpected(mapped.error());
  if (mapped->size_bytes != wanted.size_bytes) return fail(Code::kProtocol, "a DMA buffer of another size came");
  auto bytes = map_reply(reply->packet, *mapped);
  if (!bytes) return std::unexpected(std::move(bytes).error());
  buffer.bytes_ = *bytes;
  buffer.iova_ = mapped->iova;
  buffer.tile_ = {.x = mapped->x, .y = mapped->y};
  buffer.address_ = {mapped->address};
  return buffer;
}

DmaBuffer::DmaBuffer(DmaBuffer&& other) noexcept
    : session_(std::move(other.session_)),
      attachment_(other.attachment_),
      number_(other.number_),
      bytes_(std::exchange(other.bytes_, {})),
      iova_(other.iova_),
      tile_(other.tile_),
      address_(other.address_) {}

DmaBuffer& DmaBuffer::operator=(DmaBuffer&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  session_ = std::move(other.session_);
  attachment_ = other.attachment_;
  number_ = other.number_;
  bytes_ = std::exchange(other.bytes_, {});
  iova_ = other.iova_;
  tile_ = other.tile_;
  address_ = other.address_;
  return *this;
}

DmaBuffer::~DmaBuffer() { unmap(); }

// The card first: it must not write to memory that this process thinks is gone.
void DmaBuffer::unmap() noexcept {
  if (!session_ || !session_->client().check_process()) return;  // a forked child has other things at this address
  const shm::UnmapDma unmap{number_};
  session_->client().tell_if_attached(shm::MessageKind::kUnmapDma, internal::bytes_of(unmap),
                                      {.attachment = attachment_});
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

Status DmaBuffer::check() const {
  internal::Client& client = session_->client();
  if (auto ok = client.check_process(); !ok) return ok;
  const auto connection = client.connection();
  if (connection->number() == attachment_ && !connection->has_hung_up()) return {};
  return fail(Code::kStale, "wardend was restarted since this DMA buffer was mapped; map another");
}

}  // namespace warden
