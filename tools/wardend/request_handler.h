// SPDX-License-Identifier: Apache-2.0
// What a session may ask: one function a message kind. Quick ones are answered at once, the rest by the thread that
// does the work.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include <warden/result.h>

#include "shm/socket.h"
#include "tools/wardend/allocation_listing.h"
#include "tools/wardend/allocation_server.h"
#include "tools/wardend/broker.h"
#include "tools/wardend/card_jobs.h"
#include "tools/wardend/cleaner.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/listing_thread.h"
#include "tools/wardend/mailbox.h"
#include "tools/wardend/options.h"
#include "tools/wardend/reaper.h"
#include "tools/wardend/replier.h"
#include "tools/wardend/reset_queue.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

// Threads: the main loop alone.
class RequestHandler {
 public:
  struct Parts {
    shm::DirectoryWriter& directory;
    SessionTable& sessions;
    KeeperLink& keeper;
    EventBoard& board;
    Devices& devices;
    Broker& broker;
    ResetQueue& resets;
    const Replier& replier;
    Mailbox& mailbox;
    const Reaper& reaper;
    const Cleaner& cleaner;
    const Options& options;
    const std::unique_ptr<AllocationServer>& bridge;  // empty: none
  };
  explicit RequestHandler(Parts parts) : parts_(parts) {}

  // An error means that the peer broke the protocol and is to be dropped; everything else has been answered.
  [[nodiscard]] Status handle(const std::shared_ptr<Session>& session, shm::Packet packet);
  // Sends listings whose telemetry has come, or has not come in time.
  void send_listings();

  // The card is not reachable any more; whoever asks is told so from now on.
  void lose_device(std::uint32_t index, const std::string& reason);
  // The card does not work until it is reset.
  void fail_device(std::uint32_t index, const std::string& reason);

 private:
  using SessionPointer = std::shared_ptr<Session>;
  struct PendingListing {
    SessionPointer session;
    std::uint32_t request = 0;
    std::uint64_t awaited_devices = 0;
    std::chrono::steady_clock::time_point deadline;
  };

  [[nodiscard]] Status listen(const SessionPointer& session, const shm::Packet& packet);
  [[nodiscard]] Status open_device(const SessionPointer& session, const shm::Packet& packet);
  [[nodiscard]] Status ask_card(const SessionPointer& session, shm::Packet packet);
  [[nodiscard]] Status check_opened(const Session& session, std::uint32_t device_index) const;
  [[nodiscard]] Status submit(const SessionPointer& session, CardJob job);
  [[nodiscard]] Status release_window(const SessionPointer& session, const shm::Packet& packet);
  [[nodiscard]] Status unmap_dma(const SessionPointer& session, const shm::Packet& packet);
  [[nodiscard]] Status grant_direct(const SessionPointer& session, const shm::Packet& packet);
  void give_back(const SessionPointer& session, std::uint32_t request, std::optional<std::uint32_t> device_index,
                 std::function<Status(chip::Chip&)> work);
  [[nodiscard]] Status reset(const SessionPointer& session, const shm::Packet& packet);
  [[nodiscard]] Status report(const SessionPointer& session, const shm::Packet& packet);
  [[nodiscard]] Status extend(const SessionPointer& session, const shm::Packet& packet);
  void list_devices(const SessionPointer& session, std::uint32_t request);
  void list_sessions(const SessionPointer& session, std::uint32_t request);
  [[nodiscard]] Status list_allocations(const SessionPointer& session, const shm::Packet& packet);
  void show_status(const SessionPointer& session, std::uint32_t request);
  [[nodiscard]] AllocationSources allocation_sources() const;

  Parts parts_;
  std::vector<PendingListing> listings_;
  ListingThread reading_;
};

}  // namespace warden::daemon
