// SPDX-License-Identifier: Apache-2.0
// The listeners of one session. They share one ledger, so the session has answered a reset only when each of them
// that hears of it has.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <warden/result.h>

#include "tools/libwarden/connection.h"

namespace warden::internal {

// Threads: any.
class ListenerRegistry {
 public:
  using Token = std::uint64_t;

  // kBusy: a second listener without a thread; they would take each other's bytes from the one notification socket.
  [[nodiscard]] Result<Token> add(const Connection& connection, const std::vector<std::string>& devices, bool threaded);
  // Its answer is no longer awaited; if it was the last one missing to this reset (0: none), that is the session's
  // answer.
  void remove(Token token, Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask);

  // What all of them together listen to; 0: nothing.
  [[nodiscard]] std::uint64_t device_mask() const;
  [[nodiscard]] std::uint64_t device_mask(Token token) const;

  // The newest reset that this listener has answered, or that was under way when it joined; 0: none.
  [[nodiscard]] std::uint64_t answered_reset_id(Token token) const;
  // This listener has answered; the session has when all have whose devices overlap.
  void answer(Token token, Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask);
  // The announcement came (again): an answer given before wardend asked for it is passed on now.
  void repeat_answer(Token token, Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask);

  // After a reattachment: names are looked up again, and a reset already under way is owed nothing.
  void rebind(const Connection& connection);

 private:
  struct Entry {
    std::vector<std::string> devices;
    std::uint64_t device_mask = 0;
    std::uint64_t answered_reset_id = 0;
    bool threaded = true;
  };
  void answer_if_complete(Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask);

  mutable std::mutex mutex_;
  std::map<Token, Entry> entries_;
  Token last_token_ = 0;
};

}  // namespace warden::internal
