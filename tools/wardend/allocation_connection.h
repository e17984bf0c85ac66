// SPDX-License-Identifier: Apache-2.0
// One connection of a bridged client: whole messages out of a stream of any pieces, and answers that never block.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/wardend/allocation_desk.h"

namespace warden::daemon {

// Owner: the worker's main loop. Not thread-safe.
class AllocationConnection {
 public:
  // Appends a piece of an answer; false: that was the last.
  using Producer = std::function<bool(std::string& out)>;

  enum class Arrival : std::uint8_t {
    kMessage,    // a whole one is in message()
    kNothing,    // not yet
    kUndecided,  // a question whose size silence will tell: come again after kSizePatience
  };

  AllocationConnection(std::uint64_t id, std::uint32_t row_index, AllocationRow& row, UniqueFd socket)
      : id_(id), row_index_(row_index), row_(&row), socket_(std::move(socket)) {}

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] std::uint32_t row_index() const noexcept { return row_index_; }
  [[nodiscard]] int socket() const noexcept { return socket_.get(); }

  // Takes the next message from the socket unless one lies there. `no_more_comes`: it was silent long enough, or the
  // peer has said its last. An error: the peer is to be dropped.
  [[nodiscard]] Result<Arrival> fetch(bool no_more_comes);
  [[nodiscard]] std::span<const std::byte, kShortMessageBytes> message() const noexcept;
  void mark_done() noexcept { row_->mark_done(); }
  // Takes what there is and forgets it: nobody owns it any more.
  void discard();

  // What answers to this peer must measure.
  [[nodiscard]] std::size_t answer_bytes() const noexcept;
  // Queues an answer; kBusy when this peer asks and asks and reads nothing.
  [[nodiscard]] Status answer(Producer producer);
  // Sends what the peer takes now.
  void flush();
  [[nodiscard]] bool has_output() const noexcept { return !output_.empty() || !producers_.empty(); }
  // Nothing is sent any more: the peer reads an end, and may go on sending.
  void stop_answering();
  // After a predecessor was killed: an answer that may be cut short is not begun anew.
  void resume() {
    if (row_->answering != 0) stop_answering();
  }

 private:
  [[nodiscard]] AllocationForm form() const noexcept { return static_cast<AllocationForm>(row_->form); }
  void set_form(AllocationForm form) noexcept;
  [[nodiscard]] bool has_available(std::size_t count_bytes);
  [[nodiscard]] Result<Arrival> fetch_first(bool no_more_comes);
  // The bytes up to `count`, left in the queue; they are there.
  [[nodiscard]] std::byte peek_last(std::size_t count_bytes) const;
  [[nodiscard]] Status take(std::span<std::byte> into);
  [[nodiscard]] bool settle_form();
  void become_deaf();

  std::uint64_t id_;
  std::uint32_t row_index_;
  AllocationRow* row_;
  UniqueFd socket_;
  std::size_t available_bytes_ = 0;  // at least so many are in the queue
  std::deque<Producer> producers_;
  std::string output_;
  std::size_t sent_bytes_ = 0;  // of output_
  bool deaf_ = false;           // the peer can't or must not be answered
};

}  // namespace warden::daemon
