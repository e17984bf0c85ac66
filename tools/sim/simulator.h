// SPDX-License-Identifier: Apache-2.0
// A running simulator: the chips of one board on their sockets, the control socket beside them, until told to stop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/sim/board.h"
#include "tools/sim/chip_server.h"
#include "tools/sim/core_engine.h"
#include "tools/sim/listening_socket.h"
#include "tools/sim/lockstep.h"

namespace warden::sim {

// The control socket's name inside the directory.
inline constexpr const char* kControlSocket = "/control.sock";

class Simulator {
 public:
  // Serves DIR/chipN.sock and DIR/control.sock from here on, with connecting clients waiting until run(). The
  // directory is made if it is missing. Each chip has a thread, the cores of all have one, unless they follow the
  // clients in deterministic mode; run() is the caller's.
  [[nodiscard]] static Result<std::unique_ptr<Simulator>> create(const std::string& directory,
                                                                 const BoardOptions& options);
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;
  ~Simulator() { engine_.stop(); }

  [[nodiscard]] const std::vector<std::unique_ptr<ChipServer>>& chips() const noexcept { return chips_; }

  // Until `stop` becomes readable.
  [[nodiscard]] Status run(int stop);

 private:
  // A peer that is not a chip's client: refused and to be told so, or on the control socket.
  struct Peer {
    UniqueFd socket;
    bool control = false;
    std::string received;
  };

  Simulator(ListeningSocket control, UniqueFd poller) : control_(std::move(control)), poller_(std::move(poller)) {}
  [[nodiscard]] Result<std::unique_ptr<ChipServer>> start_chip(const std::string& path, const BoardOptions& options,
                                                               unsigned number);
  void plug_cables(const BoardOptions& options);
  [[nodiscard]] Status watch(int descriptor);
  void accept_clients(ChipServer& chip);
  void accept_control();
  void keep(UniqueFd socket, bool control);
  // False when the peer is done with.
  [[nodiscard]] bool attend(Peer& peer);
  [[nodiscard]] bool answer_lines(Peer& peer);

  ListeningSocket control_;
  UniqueFd poller_;
  // Both outlive the chips, which ring for them. One of them lets the cores run.
  CoreEngine engine_;
  std::unique_ptr<Lockstep> lockstep_;  // in deterministic mode
  std::vector<std::unique_ptr<ChipServer>> chips_;
  std::map<int, Peer> peers_;
  std::deque<int> oldest_first_;
};

}  // namespace warden::sim
