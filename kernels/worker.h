// SPDX-License-Identifier: Apache-2.0
// What generators and sinks have in common: their header, the mailbox that ends them, and their heartbeat.
#pragma once

#include "kernels/device.h"
#include "kernels/noc.h"
#include "kernels/worker_layout.h"

namespace warden::kernels {

class Worker {
 public:
  // Last of all: what the host waits for.
  void begin(WorkerKind kind, bool arguments_make_sense) {
    teardown_address_ = header().teardown_address;
    const bool good = arguments_make_sense && is_memory_word(teardown_address_);
    header().version = kWorkerVersion;
    header().kind = kind;
    set_status(good ? WorkerStatus::kRunning : WorkerStatus::kRefused);
    header().magic = kWorkerMagic;
    if (!good) stop();
    last_beat_ = clock_low();
  }

  bool torn_down() const { return at(teardown_address_) == kWorkerTeardown; }
  void beat() {
    header().heartbeat = header().heartbeat + 1;
    last_beat_ = clock_low();
  }
  // It is time for a heartbeat although nothing happens.
  bool beat_due() const { return clock_low() - last_beat_ >= kHeartbeatClocks; }

  [[noreturn]] void complete() {
    set_status(WorkerStatus::kComplete);
    stop();
  }

 private:
  static constexpr uint32_t kHeartbeatClocks = 50 * kClocksPerMillisecond;

  static volatile WorkerHeader& header() { return at<WorkerHeader>(kWorkerBlock); }
  static void set_status(WorkerStatus status) { header().status = status; }
  [[noreturn]] static void stop() {
    for (;;) asm volatile("");
  }

  uint32_t teardown_address_;
  uint32_t last_beat_;
};

}  // namespace warden::kernels
