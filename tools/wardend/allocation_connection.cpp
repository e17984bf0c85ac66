// SPDX-License-Identifier: Apache-2.0
// Framing by the rules of allocation_wire.h, each step of which a successor can go on from.
#include "tools/wardend/allocation_connection.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>

#include "tools/wardend/kill_point.h"

namespace warden::daemon {
namespace {

constexpr std::size_t kMaxAnswers = 64;
constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr std::byte kNotTaken{0xFF};

}  // namespace

void AllocationConnection::set_form(AllocationForm form) noexcept {
  kill_point();
  row_->form = static_cast<std::uint32_t>(form);
  kill_point();
}

bool AllocationConnection::has_available(std::size_t count_bytes) {
  if (available_bytes_ >= count_bytes) return true;
  int queued_bytes = 0;
  if (::ioctl(socket_.get(), FIONREAD, &queued_bytes) != 0) return false;
  available_bytes_ = static_cast<std::size_t>(queued_bytes);
  return available_bytes_ >= count_bytes;
}

std::byte AllocationConnection::peek_last(std::size_t count_bytes) const {
  std::array<std::byte, kShortMessageBytes + 1> bytes{};
  (void)::recv(socket_.get(), bytes.data(), count_bytes, MSG_PEEK | MSG_DONTWAIT);
  return bytes.at(count_bytes - 1);
}

// All of it is in the queue, so the kernel hands over all of it or, if we are killed before, nothing.
Status AllocationConnection::take(std::span<std::byte> into) {
  const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), MSG_DONTWAIT);
  if (got < 0) return fail_errno("receive");
  if (static_cast<std::size_t>(got) != into.size()) {
    return fail(Code::kIo, fmt::format("{} bytes of {} that were queued", got, into.size()));
  }
  available_bytes_ -= into.size();
  return {};
}

// Goes on with the decision that the first message left open; false: the deciding bytes are not here yet.
bool AllocationConnection::settle_form() {
  if (form() == AllocationForm::kAwaitTail) {
    if (!has_available(1)) return false;
    if (peek_last(1) != std::byte{0}) {
      set_form(AllocationForm::kShort);
      return true;
    }
    row_->tail[0] = kNotTaken;
    set_form(AllocationForm::kSkipTail);
  }
  if (form() == AllocationForm::kSkipTail) {
    if (row_->tail[0] == kNotTaken) {
      if (!has_available(kLongTailBytes) || !take(row_->tail)) return false;
    }
    set_form(AllocationForm::kLong);
  }
  return true;
}

Result<AllocationConnection::Arrival> AllocationConnection::fetch_first(bool no_more_comes) {
  if (!has_available(kShortMessageBytes)) return Arrival::kNothing;
  if (has_available(kShortMessageBytes + 1)) {
    const bool is_long = peek_last(kShortMessageBytes + 1) == std::byte{0};
    set_form(is_long ? AllocationForm::kLong : AllocationForm::kShort);
    return fetch(no_more_comes);
  }
  std::array<std::byte, kShortMessageBytes> look{};
  (void)::recv(socket_.get(), look.data(), look.size(), MSG_PEEK | MSG_DONTWAIT);
  const auto request = parse_allocation_request(look);
  if (!request) return std::unexpected(request.error());
  if (request->is_question() && !no_more_comes) return Arrival::kUndecided;
  if (Status taken = take(std::span(row_->message).first<kShortMessageBytes>()); !taken) {
    return std::unexpected(taken.error());
  }
  return Arrival::kMessage;
}

Result<AllocationConnection::Arrival> AllocationConnection::fetch(bool no_more_comes) {
  if (row_->has_message()) return Arrival::kMessage;
  if (form() == AllocationForm::kUnknown) return fetch_first(no_more_comes);
  if (!settle_form()) return Arrival::kNothing;
  const std::size_t need_bytes = form() == AllocationForm::kShort ? kShortMessageBytes : kLongMessageBytes;
  if (!has_available(need_bytes)) return Arrival::kNothing;
  if (Status taken = take(std::span(row_->message).first(need_bytes)); !taken) return std::unexpected(taken.error());
  if (!row_->has_message()) return fail(Code::kProtocol, "message type is 0");
  return Arrival::kMessage;
}

std::span<const std::byte, kShortMessageBytes> AllocationConnection::message() const noexcept {
  return std::span(row_->message).first<kShortMessageBytes>();
}

void AllocationConnection::discard() {
  std::array<std::byte, 4096> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): only written
  while (::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) continue;
  available_bytes_ = 0;
}

std::size_t AllocationConnection::answer_bytes() const noexcept {
  return form() == AllocationForm::kLong ? kLongMessageBytes : kShortMessageBytes;
}

Status AllocationConnection::answer(Producer producer) {
  if (deaf_) return {};
  if (producers_.size() >= kMaxAnswers) return fail(Code::kBusy, "asks and does not read the answers");
  row_->answering = 1;
  kill_point();
  producers_.push_back(std::move(producer));
  return {};
}

void AllocationConnection::flush() {
  while (has_output() && !deaf_) {
    if (output_.empty()) {
      while (output_.size() < kPieceBytes && !producers_.empty()) {
        if (!producers_.front()(output_)) producers_.pop_front();
      }
      continue;
    }
    const ssize_t sent =
        ::send(socket_.get(), output_.data() + sent_bytes_, output_.size() - sent_bytes_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return become_deaf();
    sent_bytes_ += static_cast<std::size_t>(sent);
    if (sent_bytes_ < output_.size()) continue;
    output_.clear();
    sent_bytes_ = 0;
  }
  row_->answering = 0;
}

void AllocationConnection::become_deaf() {
  deaf_ = true;
  producers_.clear();
  output_.clear();
  row_->answering = 0;
}

void AllocationConnection::stop_answering() {
  ::shutdown(socket_.get(), SHUT_WR);
  become_deaf();
}

}  // namespace warden::daemon
