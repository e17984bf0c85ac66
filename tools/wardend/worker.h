// SPDX-License-Identifier: Apache-2.0
// The worker: one epoll loop over sessions, pidfds, timer and signals, with a thread for each card and one for
// resets. Everything it must not lose is with the keeper, so it may be killed at any instruction.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/wardend/allocation_server.h"
#include "tools/wardend/broker.h"
#include "tools/wardend/bus_watch.h"
#include "tools/wardend/cleaner.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/event_board.h"
#include "tools/wardend/fabric_cut.h"
#include "tools/wardend/greeter.h"
#include "tools/wardend/journal.h"
#include "tools/wardend/keeper.h"
#include "tools/wardend/mailbox.h"
#include "tools/wardend/options.h"
#include "tools/wardend/reaper.h"
#include "tools/wardend/report_store.h"
#include "tools/wardend/request_handler.h"
#include "tools/wardend/reset_queue.h"
#include "tools/wardend/session_listeners.h"
#include "tools/wardend/session_table.h"
#include "tools/wardend/umd_bridge.h"

namespace warden::daemon {

class Worker {
 public:
  struct Parts {
    const Options& options;
    int listening_socket;  // the keeper's
    std::optional<std::chrono::microseconds> watchdog_interval;
    Inheritance inheritance;
  };
  explicit Worker(Parts parts);
  ~Worker();

  // Until it is told to stop; answers the exit status.
  [[nodiscard]] int run();

 private:
  // Connected, but not one hello said yet.
  struct Guest {
    UniqueFd socket;
    std::chrono::steady_clock::time_point since;
  };
  // What an epoll event is about; with a number, for sessions and guests.
  enum class Source : std::uint64_t {
    kListener,
    kSignals,
    kTimer,
    kMailbox,
    kGuest,
    kSession,
    kPidfd,
    kSubject,
    kUmd,
    kAllocations,
    kBus
  };

  [[nodiscard]] Status start();
  [[nodiscard]] Status open_descriptors();
  [[nodiscard]] Status open_reaper();
  void open_broker();
  [[nodiscard]] Status open_umd_bridge();
  [[nodiscard]] Status open_allocation_server();
  void resume_sessions();
  void announce_service();
  void loop();

  [[nodiscard]] Status watch(int fd, Source source, std::uint64_t number = 0);
  void dispatch(Source source, std::uint64_t number, std::uint32_t events);
  void accept_guests();
  void admit_guest(UniqueFd socket);
  void accept_last_guest();
  void refill_reserve();
  void hear_guest(std::uint64_t number);
  void adopt_session(const std::shared_ptr<Session>& session);
  void hear_session(const std::shared_ptr<Session>& session);
  void lose_process(const std::shared_ptr<Session>& session);
  // Its process or its socket has ended, or it is sent away.
  void lose_peer(const std::shared_ptr<Session>& session, const std::string& reason);
  void lose_subject(const std::shared_ptr<Session>& session);
  void orphan(const std::shared_ptr<Session>& session, const std::string& reason);
  void end_session(const std::shared_ptr<Session>& session, const std::string& reason);
  void free_session(const std::shared_ptr<Session>& session, const std::string& reason);
  void publish_session(shm::EventKind kind, const Session& session);
  void expire_guests(std::chrono::steady_clock::time_point now);
  void look_after_orphans();
  [[nodiscard]] bool has_successor(const Session& orphan) const;
  void tick();
  [[nodiscard]] Status watch_bus();
  void arm_bus(std::uint32_t index, chip::Chip& chip);
  void hear_bus(std::uint64_t number);
  void reopen_lost_cards();
  void hear_umd();
  void begin_stop();

  Parts parts_;
  KeeperLink keeper_;
  shm::DirectoryWriter& directory_;
  Mailbox mailbox_;
  EventBoard board_;
  SessionTable sessions_;
  SessionListeners listeners_;
  Replier replier_;
  Greeter greeter_;
  Reaper reaper_;

  // Destroyed backwards: threads of cards and resets end before what they call back.
  std::optional<RequestHandler> requests_;
  std::optional<Journal> journal_;
  std::optional<ReportStore> reports_;
  std::optional<Broker> broker_;
  std::optional<BusWatch> bus_;     // the cards' threads use it
  std::optional<Cleaner> cleaner_;  // the cards' threads use it
  std::optional<Devices> devices_;
  std::unique_ptr<UmdBridge> umd_;
  std::unique_ptr<AllocationServer> allocations_;
  std::optional<FabricCut> fabric_;
  std::optional<ResetQueue> resets_;

  UniqueFd epoll_;
  UniqueFd signals_;
  UniqueFd timer_;
  UniqueFd reserve_;  // given up to hear a guest when there are no others; nobody is let in while it is empty
  std::map<std::uint64_t, Guest> guests_;
  std::uint64_t next_guest_ = 1;
  std::chrono::steady_clock::time_point last_alive_;
  std::chrono::steady_clock::time_point last_reopening_;
  bool stopping_ = false;
  bool done_ = false;
};

}  // namespace warden::daemon
