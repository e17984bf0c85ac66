// SPDX-License-Identifier: Apache-2.0
// The end of a session on the cards: from its last sign of life to the moment when what it had may be given to others.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tools/wardend/broker.h"
#include "tools/wardend/card_cleaning.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/mailbox.h"
#include "tools/wardend/quarantine.h"
#include "tools/wardend/session.h"

namespace warden::daemon {

// Threads: the main loop; the work on each card is done on its own thread. Nothing of it is journalled: the actions
// stand in the session's ledger, which the keeper holds until the session is freed, and a successor begins anew.
class Cleaner {
 public:
  struct Parts {
    Devices& devices;
    KeeperLink& keeper;
    Mailbox& mailbox;
    Broker& broker;
  };
  explicit Cleaner(const Parts& parts) : parts_(parts), quarantine_(parts.keeper) {}

  void restore(const KeptTable& kept) { quarantine_.restore(kept); }

  // The session has ended, or its process has begun to die. Once is enough.
  void begin(const std::shared_ptr<Session>& session);
  // Calls `free` as soon as every card of it is clean or in quarantine, perhaps at once. After begin().
  void when_clean(const Session& session, std::function<void()> free);
  // Lifts what resets have ended.
  void tick();

  [[nodiscard]] bool is_cleaning(std::uint64_t session_id) const;
  [[nodiscard]] std::size_t cleaning_count() const;
  [[nodiscard]] const Quarantine& quarantine() const noexcept { return quarantine_; }

 private:
  struct Work {
    std::uint64_t devices = 0;  // where it is not done
    std::function<void()> free;
  };
  [[nodiscard]] bool has_nothing(const Session& session, std::uint32_t device, const CardOrders& orders) const;
  void clean_card(const std::shared_ptr<Session>& session, std::uint32_t device, CardOrders orders);
  void finish_card(const Session& session, std::uint32_t device, std::uint64_t epoch,
                   const CardCleaning::Result& result);
  void finish_if_done(std::uint64_t session_id);

  Parts parts_;
  Quarantine quarantine_;
  std::map<std::uint64_t, Work> work_;  // by session, from begin() until it is freed
};

}  // namespace warden::daemon
