// SPDX-License-Identifier: Apache-2.0
// One card and the thread that does everything with it: accesses for sessions, telemetry, the reset. A card that is
// slow keeps nobody waiting but its own users.
//
//   gate:  open ─► announced (who has acknowledged is refused) ─► closed (everybody is) ─► open
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/directory_layout.h"
#include "tools/wardend/card_cleaning.h"
#include "tools/wardend/direct_grant.h"
#include "tools/wardend/session.h"
#include "tools/wardend/transaction.h"

namespace warden::daemon {

// A look at the card, for listings.
struct DeviceView {
  std::string name;
  std::string chip = "unknown";
  std::string board = "unknown";
  shm::DeviceState state = shm::DeviceState::kLost;
  std::string reason;  // why it is failed or lost
  std::uint64_t epoch = 0;
  std::optional<chip::Telemetry> telemetry;
  std::vector<std::uint8_t> harvested_rows;  // NoC #0 rows y that are fused off
};

// Threads: any.
class DeviceThread final : public ResetTarget {
 public:
  using Job = std::function<void(chip::Chip&)>;

  // Opens the card afresh, with this epoch, and proves that it answers.
  using Opener = std::function<Result<std::unique_ptr<chip::Chip>>(std::uint64_t epoch)>;

  // Without a chip the device is lost, for this reason.
  DeviceThread(std::string name, std::unique_ptr<chip::Chip> chip, std::uint64_t epoch, std::string lost_reason = {});
  ~DeviceThread() override;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] DeviceView view() const;
  [[nodiscard]] std::uint64_t epoch() const;
  [[nodiscard]] std::vector<std::uint8_t> harvested_rows() const;

  // Whether a session may open the device now; answers the epoch.
  [[nodiscard]] Result<std::uint64_t> open() const;
  // Runs `job` on the device's thread, unless the reset, the epoch or the card's state forbid it.
  [[nodiscard]] Status submit(const Session& session, std::uint64_t epoch, Job job);
  // Runs wardend's own `job` there, whatever a reset or the card's state forbids to sessions. False: there is no chip.
  [[nodiscard]] bool post(Job job);
  // Hands the card to one session alone: everybody else is refused until it ends. What the session was granted before
  // ends. kBusy while another session has the card. `check` has the last word, and `ready` gets the peer's end; both
  // are called on the device's thread, when everything admitted before has ended.
  using DirectReady = std::function<void(Result<UniqueFd>)>;
  [[nodiscard]] Status grant_direct(const Session& session, std::uint64_t epoch, std::function<Status()> check,
                                    DirectReady ready);
  // The session that drives the card itself now; 0: none.
  [[nodiscard]] std::uint64_t direct_session() const;
  // Cuts its connection at once. What is under way of it has ended before the next job begins. Another session:
  // nothing.
  void end_direct(std::uint64_t session_id);
  // Called after every reset that touched the card, on the thread that calls release(). Set before there are resets.
  void on_reset(std::function<void()> call) { on_reset_ = std::move(call); }
  // Reads telemetry if what is known is older than a second; calls `done` on the device's thread, with how that went.
  // False: nothing to wait for.
  bool refresh_telemetry(std::function<void(const Status&)> done);
  // The card works no more until it is reset. False: it did not before, or a reset has it and will say.
  [[nodiscard]] bool break_down(const std::string& reason);
  // The transport is gone: nothing but reopening brings the card back.
  void lose(const std::string& reason);
  // Tries once, on the device's thread, if the device is lost and not in a reset. Handles from before stay stale.
  // `done` is called on that thread, when the device is there again; never otherwise.
  void reopen_if_lost(Opener opener, std::function<void()> done);

  // Calls `step` on the device's thread between the jobs of others, until it says that it is done. Not while the gate
  // is closed, behind which the card is another one, nor while a session drives the card itself. Several go one after
  // the other, as far as none of them waits.
  using Step = std::function<std::optional<std::chrono::microseconds>(const CardNow&)>;
  void clean(Step step);

  // A predecessor died while this reset had the card: the gate is closed until release().
  void close_for(std::uint64_t reset_id);
  // The gate, moved by the reset that runs.
  void announce(std::uint64_t reset_id);
  [[nodiscard]] Status quiesce(std::chrono::milliseconds bound) override;
  [[nodiscard]] std::future<chip::ResetReport> start_reset(std::shared_ptr<ExternalReset> external) override;
  // Opens the gate. `touched`: a reset was tried and this is its verdict, empty when good. Of several cards that were
  // reset together each answers for itself: its own verdict counts, where there is one. True: the card's state is
  // another one than before.
  bool release(bool touched, const std::string& failure);

 private:
  enum class Gate : std::uint8_t { kOpen, kAnnounced, kClosed };

  [[nodiscard]] Status admit(const Session& session, std::uint64_t epoch) const;
  [[nodiscard]] Status usable() const;
  using Clock = std::chrono::steady_clock;
  struct Cleaning {
    Step step;
    Clock::time_point due;
  };

  [[nodiscard]] Status check_not_direct() const;
  bool open_gate(bool touched, const std::string& failure);
  void push(Job job);
  [[nodiscard]] Result<UniqueFd> open_direct(chip::Chip& chip, std::uint64_t grant_number,
                                             const std::function<Status()>& check);
  void cut_direct(std::uint64_t grant_number);
  void drop_direct(std::uint64_t grant_number);
  void run();
  void run_job(std::unique_lock<std::mutex>& lock);
  void run_cleaning(std::unique_lock<std::mutex>& lock);
  // The first that is due, or the one that will be first; end() when there is none for now.
  [[nodiscard]] std::list<Cleaning>::iterator next_cleaning();
  void reopen(std::unique_lock<std::mutex>& lock);
  void stay_lost(const std::string& reason);
  Status read_telemetry(chip::Chip& chip);

  const std::string name_;
  std::unique_ptr<chip::Chip> chip_;  // exchanged by the device's thread alone, under the lock

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::list<Cleaning> cleanings_;
  bool job_is_next_ = false;  // they take turns
  Opener opener_;             // with what to call after it: a try that is asked for
  std::function<void()> reopened_;
  std::function<void()> on_reset_;
  bool busy_ = false;
  bool stopping_ = false;
  Gate gate_ = Gate::kOpen;
  std::uint64_t reset_id_ = 0;  // while the gate is not open
  std::uint64_t epoch_ = 0;
  shm::DeviceState state_ = shm::DeviceState::kReady;
  std::string reason_;
  std::optional<chip::ResetReport> verdict_;  // of the reset under way, from its end until release()
  chip::Identity identity_;
  std::optional<chip::Telemetry> telemetry_;
  std::chrono::steady_clock::time_point telemetry_time_;
  bool telemetry_queued_ = false;

  // The session that drives the card itself, from when that is promised until it has ended.
  struct Direct {
    std::uint64_t session_id = 0;
    std::uint64_t number = 0;            // another one for each grant
    std::unique_ptr<DirectGrant> grant;  // made and destroyed by the device's thread alone
  };
  std::optional<Direct> direct_;
  std::uint64_t last_direct_ = 0;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace warden::daemon
