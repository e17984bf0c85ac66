// SPDX-License-Identifier: Apache-2.0
// Batches as messages: operations are cut and packed so that each message is as full as it may be.
#include <warden/batch.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tools/libwarden/client.h"

namespace warden {

namespace {

using shm::BatchKind;

std::uint32_t number_of(BatchKind kind) { return static_cast<std::uint32_t>(kind); }

}  // namespace

// A part of an operation, in one message.
struct Batch::Piece {
  std::size_t operation;
  std::size_t offset_bytes;
  std::size_t len_bytes;
};

// One message being filled, and its answer taken apart.
class Batch::Message {
 public:
  explicit Message(const std::vector<Operation>& operations) : operations_(operations) {}

  [[nodiscard]] bool is_empty() const noexcept { return pieces_.empty(); }

  // As much of this operation, from `offset_bytes` on, as there is room for; nothing: the message is full.
  [[nodiscard]] std::size_t take(std::size_t index, std::size_t offset_bytes) {
    const Operation& operation = operations_[index];
    const bool writes = !operation.from.empty();
    const std::size_t len_bytes = operation.from.size() + operation.into.size() - offset_bytes;  // one of them is empty
    std::size_t& used_bytes = writes ? written_bytes_ : read_bytes_;
    // Words stay whole: what is cut ends at a multiple of 4.
    const std::size_t room_bytes = (shm::kMaxBatchBytes - used_bytes) & ~std::size_t{3};
    const std::size_t piece_bytes = std::min(len_bytes, room_bytes);
    if (pieces_.size() == shm::kMaxBatchOperations || (piece_bytes == 0 && len_bytes != 0)) return kNothing;
    used_bytes += piece_bytes;
    pieces_.push_back({index, offset_bytes, piece_bytes});
    return piece_bytes;
  }
  static constexpr std::size_t kNothing = SIZE_MAX;

  [[nodiscard]] std::vector<std::byte> tail() const {
    std::vector<shm::BatchOperation> operations;
    std::vector<std::byte> data;
    for (const Piece& piece : pieces_) {
      const Operation& whole = operations_[piece.operation];
      operations.push_back({.kind = whole.kind,
                            .length_bytes = static_cast<std::uint32_t>(piece.len_bytes),
                            .address = whole.address + piece.offset_bytes,
                            .window = whole.window,
                            .x = whole.tiles.first.x,
                            .y = whole.tiles.first.y,
                            .last_x = whole.tiles.last.x,
                            .last_y = whole.tiles.last.y,
                            .reserved = 0});
      if (whole.from.empty()) continue;
      const auto part = whole.from.subspan(piece.offset_bytes, piece.len_bytes);
      data.insert(data.end(), part.begin(), part.end());
    }
    const auto head = std::as_bytes(std::span(operations));
    std::vector<std::byte> tail(head.begin(), head.end());
    tail.insert(tail.end(), data.begin(), data.end());
    return tail;
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(pieces_.size()); }

  // Copies what was read; the operation that failed and why, if one did.
  struct Failure {
    std::size_t operation;
    Error error;
  };
  [[nodiscard]] Result<std::optional<Failure>> take_reply(const shm::Packet& packet) const {
    const auto result = shm::body_of<shm::BatchResult>(packet);
    if (!result) return std::unexpected(result.error());
    const std::size_t codes_bytes = pieces_.size() * sizeof(std::uint32_t);
    auto rest = std::span(packet.body).subspan(sizeof(shm::BatchResult));
    const bool sound = result->operation_count == pieces_.size() && result->done_count <= pieces_.size() &&
                       rest.size() == codes_bytes + std::uint64_t{result->data_bytes} + result->text_bytes;
    if (!sound || done_bytes(result->done_count) != result->data_bytes) {
      return fail(Code::kProtocol, "a batch was answered with something else");
    }
    auto data = rest.subspan(codes_bytes, result->data_bytes);
    for (const Piece& piece : std::span(pieces_).first(result->done_count)) {
      const Operation& whole = operations_[piece.operation];
      if (whole.into.empty()) continue;
      std::ranges::copy(data.first(piece.len_bytes), whole.into.subspan(piece.offset_bytes).begin());
      data = data.subspan(piece.len_bytes);
    }
    if (result->done_count == pieces_.size()) return std::nullopt;
    std::uint32_t code = 0;
    std::memcpy(&code, rest.data() + result->done_count * sizeof(code), sizeof(code));
    if (code == 0 || code > static_cast<std::uint32_t>(Code::kFailed)) {
      return fail(Code::kProtocol, "a batch failed with the unknown code " + std::to_string(code));
    }
    const auto text = rest.last(result->text_bytes);
    return Failure{pieces_[result->done_count].operation,
                   {static_cast<Code>(code), std::string(reinterpret_cast<const char*>(text.data()), text.size())}};
  }

 private:
  [[nodiscard]] std::size_t done_bytes(std::size_t count) const {
    std::size_t bytes = 0;
    for (const Piece& piece : std::span(pieces_).first(count)) {
      if (operations_[piece.operation].from.empty()) bytes += piece.len_bytes;
    }
    return bytes;
  }

  const std::vector<Operation>& operations_;
  std::vector<Piece> pieces_;
  std::size_t written_bytes_ = 0;
  std::size_t read_bytes_ = 0;
};

void Batch::add(std::uint32_t kind, std::uint64_t address, Operation rest) {
  rest.kind = kind;
  rest.address = address;
  operations_.push_back(rest);
}

void Batch::read(Tile tile, CardAddress address, std::span<std::byte> into) {
  add(number_of(BatchKind::kRead), address.value, {.tiles = {tile, tile}, .into = into});
}

void Batch::write(Tile tile, CardAddress address, std::span<const std::byte> from) {
  add(number_of(BatchKind::kWrite), address.value, {.tiles = {tile, tile}, .from = from});
}

void Batch::read32(Tile tile, CardAddress address, std::uint32_t& into) {
  add(number_of(BatchKind::kRead32), address.value,
      {.tiles = {tile, tile}, .into = std::as_writable_bytes(std::span(&into, 1))});
}

void Batch::write32(Tile tile, CardAddress address, std::uint32_t value) {
  add(number_of(BatchKind::kWrite32), address.value, {.tiles = {tile, tile}, .word = value});
}

void Batch::broadcast(TileRectangle tiles, CardAddress address, std::span<const std::byte> from) {
  add(number_of(BatchKind::kBroadcast), address.value, {.tiles = tiles, .from = from});
}

void Batch::read(const Window& window, std::uint64_t offset, std::span<std::byte> into) {
  add(number_of(BatchKind::kWindowRead), offset, {.window = window.number_, .into = into});
}

void Batch::write(const Window& window, std::uint64_t offset, std::span<const std::byte> from) {
  add(number_of(BatchKind::kWindowWrite), offset, {.window = window.number_, .from = from});
}

void Batch::read32(const Window& window, std::uint64_t offset, std::uint32_t& into) {
  add(number_of(BatchKind::kWindowRead32), offset,
      {.window = window.number_, .into = std::as_writable_bytes(std::span(&into, 1))});
}

void Batch::write32(const Window& window, std::uint64_t offset, std::uint32_t value) {
  add(number_of(BatchKind::kWindowWrite32), offset, {.window = window.number_, .word = value});
}

Status Batch::run() {
  done_count_ = 0;
  std::vector<Operation> operations = std::exchange(operations_, {});
  for (Operation& operation : operations) {
    const auto kind = static_cast<BatchKind>(operation.kind);
    if (kind == BatchKind::kWrite32 || kind == BatchKind::kWindowWrite32) {
      operation.from = std::as_bytes(std::span(&operation.word, 1));  // stays where it is from now on
    }
  }
  return run_pieces(operations);
}

Status Batch::run_pieces(const std::vector<Operation>& operations) {
  std::size_t index = 0;
  std::size_t offset_bytes = 0;
  while (index < operations.size()) {
    Message message(operations);
    while (index < operations.size()) {
      const std::size_t taken = message.take(index, offset_bytes);
      if (taken == Message::kNothing) break;
      offset_bytes += taken;
      if (offset_bytes < operations[index].from.size() + operations[index].into.size()) continue;
      ++index;
      offset_bytes = 0;
    }
    const shm::Batch head{device_.index(), message.size(), device_.epoch()};
    auto reply = device_.session_->client().request(shm::MessageKind::kBatch, internal::bytes_of(head), message.tail(),
                                                    {.attachment = device_.attachment_});
    if (!reply) return std::unexpected(std::move(reply).error());
    auto failure = message.take_reply(reply->packet);
    if (!failure) return std::unexpected(std::move(failure).error());
    if (*failure) {
      done_count_ = (*failure)->operation;
      if (operations.size() == 1) return std::unexpected(std::move((*failure)->error));
      return wrap(std::move((*failure)->error),
                  "operation " + std::to_string(done_count_ + 1) + " of " + std::to_string(operations.size()));
    }
    done_count_ = index;
  }
  return {};
}

}  // namespace warden
