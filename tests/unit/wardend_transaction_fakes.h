// SPDX-License-Identifier: Apache-2.0
// A world for the reset transaction: a clock that moves when somebody waits, listeners that do as they are told, cards
// that give the verdict they were given, a fabric that says what it was asked. No process, no file, no time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/wardend/transaction.h"

namespace warden::daemon {

using std::chrono::milliseconds;

inline constexpr std::uint64_t kMs = 1'000'000;

struct ToldEvent {
  shm::EventKind kind;
  shm::ResetPhase phase;
  shm::ResetResult result;
  std::uint64_t deadline_ns;
  std::string text;
};

// Time moves only in wait(), and what is to happen at a time happens then.
class FakeHost final : public TransactionHost {
 public:
  std::uint64_t now_ns() override { return now_ns_; }
  std::uint32_t news() override { return 0; }
  void wait(std::uint32_t, std::size_t answers, std::chrono::nanoseconds bound) override {
    awaited.push_back(answers);
    now_ns_ += static_cast<std::uint64_t>(bound.count());
    ++waits;
    if (on_wait) on_wait(now_ns_ / kMs);
  }
  Status write_journal(const ResetRecord& record) override {
    if (failing_journal == record.phase) return fail(Code::kIo, "journal: No space left on device");
    journal.push_back(record);
    log.push_back("journal " + std::string(to_string(record.phase)));
    return {};
  }
  using TransactionHost::publish;
  void publish(std::span<const shm::EventDraft> drafts) override {
    ++batches;
    for (const shm::EventDraft& draft : drafts) take(draft);
  }
  void wake_followers() override {}
  void take(const shm::EventDraft& draft) {
    events.push_back({draft.kind, draft.phase, draft.result, draft.deadline_ns, std::string(draft.text)});
    if (draft.kind == shm::EventKind::kPhase) log.push_back("told " + std::string(to_string(draft.phase)));
    if (draft.kind == shm::EventKind::kAnnounce) log.emplace_back("told announce");
    if (draft.kind == shm::EventKind::kResult) log.emplace_back("told result");
  }
  void begin(const ResetRecord&) override { log.emplace_back("begin"); }
  void finish(const ResetRecord&) override { log.emplace_back("finish"); }

  [[nodiscard]] int count(shm::EventKind kind) const {
    return static_cast<int>(std::ranges::count(events, kind, &ToldEvent::kind));
  }

  std::function<void(std::uint64_t now_ms)> on_wait;
  std::optional<shm::ResetPhase> failing_journal;
  std::vector<ResetRecord> journal;
  std::vector<ToldEvent> events;
  std::vector<std::string> log;
  std::vector<std::size_t> awaited;  // by each wait()
  int waits = 0;
  int batches = 0;  // events told at once count once

 private:
  std::uint64_t now_ns_ = 1000 * kMs;
};

// What a fake listener will say; shared between the test and the participant that the transaction owns.
struct Script {
  std::uint64_t session_id = 1;
  Outcome now = Outcome::kPending;
  std::uint64_t answered_ns = 0;
  bool dies_when_killed = true;
  bool can_answer = true;
  int killed = 0;
  int settled = 0;
};

class FakeParticipant final : public Participant {
 public:
  explicit FakeParticipant(Script& script) : script_(script) {}
  std::uint64_t session_id() const noexcept override { return script_.session_id; }
  int pid() const noexcept override { return static_cast<int>(script_.session_id) * 10; }
  const std::string& name() const noexcept override { return name_; }
  Outcome look() override { return script_.now; }
  std::uint64_t answered_ns() const noexcept override { return script_.answered_ns; }
  bool can_answer() const noexcept override { return script_.can_answer; }
  Status kill() override {
    ++script_.killed;
    if (script_.dies_when_killed) script_.now = Outcome::kDied;
    return {};
  }
  void settle() noexcept override { ++script_.settled; }

 private:
  Script& script_;
  std::string name_ = "fake";
};

class FakeSource final : public ParticipantSource {
 public:
  Participants announce(const ResetRecord&) override {
    ++announced;
    return participants();
  }
  Participants resume(const ResetRecord&) override {
    ++resumed;
    return participants();
  }
  void finish(const ResetRecord& record) noexcept override { finished.push_back(record.result); }

  std::vector<Script*> scripts;
  int announced = 0;
  int resumed = 0;
  std::vector<shm::ResetResult> finished;

 private:
  Participants participants() {
    Participants list;
    for (Script* script : scripts) list.push_back(std::make_unique<FakeParticipant>(*script));
    return list;
  }
};

class FakeTarget final : public ResetTarget {
 public:
  explicit FakeTarget(FakeHost& host) : host_(host) {}
  Status quiesce(milliseconds) override {
    host_.log.emplace_back("quiesce");
    return quiet;
  }
  std::future<chip::ResetReport> start_reset(std::shared_ptr<ExternalReset> /*external*/) override {
    ++resets;
    host_.log.emplace_back("reset");
    std::promise<chip::ResetReport> promise;
    promise.set_value(verdict);
    return promise.get_future();
  }

  Status quiet;
  chip::ResetReport verdict{true, "", {{"marker", "1", "0", true}}, {}};
  int resets = 0;

 private:
  FakeHost& host_;
};

class FakeFabric final : public FabricGuard {
 public:
  explicit FakeFabric(FakeHost& host) : host_(host) {}
  std::optional<FabricRecord> prepare(std::span<const ResetDevice>) override {
    host_.log.emplace_back("prepare fabric");
    return found;
  }
  void restore(std::span<const ResetDevice>, FabricRecord& record) override {
    host_.log.emplace_back("restore fabric");
    record.restored = true;
  }
  void undo(std::span<const ResetDevice>, FabricRecord& record) override {
    host_.log.emplace_back("undo fabric");
    record.restored = true;
  }

  std::optional<FabricRecord> found = FabricRecord{2, 0, 0, 0, false, {}};

 private:
  FakeHost& host_;
};

class TransactionTest : public testing::Test {
 protected:
  ResetRecord run(const ResetRecord& record, const Published& published = {}) {
    Transaction transaction({host_, {&source_}, {&target_}, {}, fabric_here_ ? &fabric_ : nullptr}, record, published);
    transaction_ = &transaction;
    return transaction.run();
  }
  static ResetRecord order(shm::TimeoutPolicy policy = shm::TimeoutPolicy::kProceed) {
    ResetRecord record;
    record.id = 41;
    record.devices = {{0, "card", 1}};
    record.cause = "test";
    record.timeout = milliseconds(100);
    record.extension_cap = milliseconds(50);
    record.on_timeout = policy;
    return record;
  }

  FakeHost host_;
  FakeSource source_;
  FakeTarget target_{host_};
  FakeFabric fabric_{host_};
  bool fabric_here_ = false;
  Script listener_;
  Transaction* transaction_ = nullptr;
};

}  // namespace warden::daemon
