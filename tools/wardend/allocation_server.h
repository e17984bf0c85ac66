// SPDX-License-Identifier: Apache-2.0
// The bridge for programs that report their allocations by tt-metal's messages: it keeps their records, answers their
// questions, and forgets what the dead held.
//
// Everything it must not lose is with the keeper: the listening socket and the desk, a socket for each connection, a
// book and a pidfd for each process.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/wardend/allocation_answers.h"
#include "tools/wardend/allocation_clients.h"
#include "tools/wardend/allocation_connection.h"
#include "tools/wardend/allocation_desk.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

// Owner: the worker's main loop. Not thread-safe. The socket file goes with it, unless it is killed.
class AllocationServer {
 public:
  static constexpr std::int64_t kMaxConnectionsOfUser = 512;

  struct Parts {
    std::string path;
    std::function<std::vector<AllocationDevice>()> devices;
    // Whoever notices deaths earlier than the pidfd tells them by client_died(). The pidfd stays open until `forget`.
    std::function<void(std::uint64_t client_id, int pidfd)> watch;
    std::function<void(std::uint64_t client_id)> forget;
  };
  // kBusy: a running process answers at the path.
  [[nodiscard]] static Result<std::unique_ptr<AllocationServer>> open(Parts parts, KeptTable& kept, KeeperLink& keeper);
  AllocationServer(const AllocationServer&) = delete;
  AllocationServer& operator=(const AllocationServer&) = delete;
  ~AllocationServer();

  // An epoll descriptor: readable when hear() has something to do.
  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }
  // Serves for a few milliseconds at most.
  void hear();
  // A process has died, whoever noticed. Unknown numbers are ignored, and so is a second call.
  void client_died(std::uint64_t client_id);
  [[nodiscard]] const AllocationClients& clients() const noexcept { return clients_; }
  [[nodiscard]] const std::string& path() const noexcept { return parts_.path; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Source : std::uint64_t { kListener, kTimer, kConnection, kPidfd };
  static constexpr std::uint32_t kPeerEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  enum class Heard : std::uint8_t { kMore, kNothing, kDropped };
  struct Peer {
    AllocationConnection connection;
    std::uint64_t client_id;  // 0: its process is dead, and what still comes is nobody's
    std::uint32_t user_id;
    bool has_ended = false;        // the peer has said its last
    bool has_question = false;     // one lies in its row
    bool size_by_silence = false;  // waiting told the size of its first message
  };

  AllocationServer(Parts parts, KeeperLink& keeper, UniqueFd listener, AllocationDesk desk)
      : parts_(std::move(parts)),
        keeper_(keeper),
        listener_(std::move(listener)),
        desk_(std::move(desk)),
        clients_(keeper) {}

  [[nodiscard]] Status start(KeptTable& kept);
  void restore_connections(KeptTable& kept);
  [[nodiscard]] Status watch(int fd, Source source, std::uint64_t number, std::uint32_t events);
  void dispatch(std::uint64_t tag, std::uint32_t events);
  void start_timer();
  [[nodiscard]] bool timer_is_running() const;
  void hear_timer();

  [[nodiscard]] static std::string connection_name(std::uint64_t id);
  [[nodiscard]] static std::string connection_blob(std::uint64_t client_id, std::uint32_t row, std::uint32_t user_id);
  void accept_all();
  [[nodiscard]] Status admit(UniqueFd socket);
  [[nodiscard]] Status add_peer(UniqueFd socket, AllocationClient& client);
  void hear_peer(std::uint64_t connection_id, std::uint32_t events);
  [[nodiscard]] Heard hear_message(Peer& peer);
  [[nodiscard]] Heard hear_request(Peer& peer);
  void look_again(const Peer& peer);
  void drop(const Peer& peer, const std::string& reason);
  void close(std::uint64_t connection_id);
  [[nodiscard]] std::string name_of(const Peer& peer);

  void answer_questions();
  [[nodiscard]] AllocationConnection::Producer answer_to(const AllocationRequest& question,
                                                         std::size_t message_bytes) const;

  void note_all_dead();
  void reap_noted();
  [[nodiscard]] static bool is_idle(const AllocationClient& client) noexcept;
  void reap(std::uint64_t client_id, std::vector<ReapedProcess>& reaped);

  Parts parts_;
  KeeperLink& keeper_;
  UniqueFd listener_;
  AllocationDesk desk_;
  AllocationClients clients_;
  UniqueFd epoll_;
  UniqueFd timer_;  // runs while a question's size is awaited, or the listener is paused
  std::map<std::uint64_t, Peer> peers_;
  std::vector<std::uint64_t> questions_;  // connections, in the order they asked
  Clock::time_point oldest_question_;
  std::vector<std::pair<std::uint64_t, Clock::time_point>> undecided_;  // connections, and since when they are silent
  std::vector<std::uint64_t> dead_;                                     // clients seen dead, not reaped yet
  std::vector<std::uint64_t> idle_;                                     // clients that had hung up when last looked at
  std::uint64_t next_connection_ = 1;
  bool paused_ = false;  // out of descriptors: nobody is let in until the timer runs
};

}  // namespace warden::daemon
