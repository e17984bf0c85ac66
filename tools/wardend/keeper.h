// SPDX-License-Identifier: Apache-2.0
// The keeper: the small process that holds every descriptor that must not close, and runs one worker after another.
// One thread, no lock, nothing that a client can reach.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

// What every worker inherits by fork.
struct Inheritance {
  shm::DirectoryWriter& directory;  // the only writable mapping there will ever be
  shm::DoorbellMemory& doorbell;
  KeptTable& kept;    // the worker's own copy
  UniqueFd& keeper;   // its end of the link
  bool first = true;  // no worker has served before
};

// How a worker ends by itself. Anything else is a death, and the next worker goes on.
inline constexpr int kWorkerStopped = 0;
inline constexpr int kWorkerCannotStart = 1;  // it has said why

class Keeper {
 public:
  // Runs in the forked worker; answers its exit status.
  using WorkerMain = std::function<int(Inheritance)>;

  Keeper(shm::DirectoryWriter directory, shm::DoorbellMemory doorbell, WorkerMain worker)
      : directory_(std::move(directory)), doorbell_(std::move(doorbell)), worker_main_(std::move(worker)) {}

  // Until a signal stops it or it gives up; answers the exit status.
  [[nodiscard]] int run();

 private:
  struct Worker {
    int pid = 0;
    UniqueFd pidfd;
    UniqueFd link;
  };

  [[nodiscard]] Result<Worker> start_worker();
  [[nodiscard]] int attend(Worker& worker);
  void pass_on_signal(const Worker& worker);
  [[nodiscard]] bool dies_too_often();

  shm::DirectoryWriter directory_;
  shm::DoorbellMemory doorbell_;
  WorkerMain worker_main_;
  KeptTable kept_;
  UniqueFd signals_;
  bool first_ = true;
  bool stopping_ = false;
  std::deque<std::chrono::steady_clock::time_point> deaths_;
};

}  // namespace warden::daemon
