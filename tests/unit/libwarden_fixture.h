// SPDX-License-Identifier: Apache-2.0
// What tests of libwarden share: a scripted wardend on a socket of its own, and a listener that notes what it hears.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <warden/listener.h>
#include <warden/session.h>

#include "tests/unit/libwarden_scripted_wardend.h"
#include "tests/unit/shm_test_support.h"

namespace warden::test {

// Bytes of a body as the tail of an answer.
template <typename Body>
std::string text_from(const Body& body) {
  return std::string(reinterpret_cast<const char*>(&body), sizeof(body));
}

class LibwardenTest : public ::testing::Test {
 protected:
  void start_wardend(ScriptedWardend::Handler handler = {}) {
    wardend_.reset();
    wardend_ = std::make_unique<ScriptedWardend>(path_, std::move(handler));
  }
  [[nodiscard]] std::shared_ptr<Session> attach(bool pollable = false) const {
    auto session = Session::attach(options(pollable));
    if (!session) throw std::runtime_error(session.error().message);
    return *session;
  }
  [[nodiscard]] AttachOptions options(bool pollable = false) const {
    AttachOptions options;
    options.socket_path = path_;
    options.name = "test";
    options.pollable = pollable;
    options.timeout = std::chrono::seconds(20);
    return options;
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "w.sock";
  std::unique_ptr<ScriptedWardend> wardend_;
};

// Threads: any.
class Heard {
 public:
  [[nodiscard]] ListenerCallbacks callbacks() {
    return {.announce =
                [this](const ResetAnnouncement& announcement) {
                  const std::lock_guard lock(mutex_);
                  announcements_.push_back(announcement);
                },
            .finish =
                [this](const ResetOutcome& outcome) {
                  const std::lock_guard lock(mutex_);
                  outcomes_.push_back(outcome);
                }};
  }
  [[nodiscard]] std::vector<ResetAnnouncement> announcements() const {
    const std::lock_guard lock(mutex_);
    return announcements_;
  }
  [[nodiscard]] std::vector<ResetOutcome> outcomes() const {
    const std::lock_guard lock(mutex_);
    return outcomes_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<ResetAnnouncement> announcements_;
  std::vector<ResetOutcome> outcomes_;
};

}  // namespace warden::test
