// SPDX-License-Identifier: Apache-2.0
// A wardend for tests of libwarden: the real directory, ledgers and socket, but every step happens when the test says
// so. It lives in the test's process; libwarden sees only the socket and the memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/message.h"
#include "shm/socket.h"

namespace warden::test {

struct ScriptedAnswer {
  std::uint32_t code = 0;
  std::string tail{};
  bool silent = false;   // as a worker that was killed before it answered
  bool hang_up = false;  // as a wardend that was killed
};

class ScriptedWardend {
 public:
  using Handler = std::function<ScriptedAnswer(const shm::Packet&)>;

  // Answers kListen by itself; everything else goes to `handler`, on the server's thread.
  explicit ScriptedWardend(std::string socket_path, Handler handler = {});
  ScriptedWardend(const ScriptedWardend&) = delete;
  ScriptedWardend& operator=(const ScriptedWardend&) = delete;
  ~ScriptedWardend();

  shm::DirectoryWriter& directory() { return *directory_; }
  void add_device(std::uint32_t index, const std::string& name);
  // As wardend does it: who listens owes, then everybody is told.
  void announce(std::uint64_t reset_id, std::uint64_t device_mask, const std::string& reason = "test");
  void publish(const shm::EventDraft& event);
  void finish(std::uint64_t reset_id, std::uint64_t device_mask, shm::ResetResult result,
              const std::string& reason = "");
  void start_new_worker();

  [[nodiscard]] bool all_acknowledged(std::uint64_t reset_id) const;
  [[nodiscard]] std::size_t session_count() const;
  // What the newest session listens to.
  [[nodiscard]] std::uint64_t listened_mask() const;

 private:
  struct Session {
    UniqueFd socket;
    UniqueFd notification;
    std::uint32_t slot = 0;
    std::uint64_t id = 0;
    std::uint64_t mask = 0;
    std::optional<shm::LedgerReader> ledger;
  };

  void run();
  void serve(std::uint64_t id);
  void welcome(UniqueFd socket);
  void answer(Session& session, const shm::Packet& packet);

  Handler handler_;
  std::unique_ptr<shm::DirectoryWriter> directory_;
  std::unique_ptr<shm::DoorbellMemory> doorbell_;
  UniqueFd listening_;
  UniqueFd stop_;
  mutable std::recursive_mutex mutex_;
  std::map<std::uint64_t, Session> sessions_;
  std::uint64_t last_session_id_ = 0;
  std::thread thread_;
};

}  // namespace warden::test
