// SPDX-License-Identifier: Apache-2.0
// A program that works, and keeps off the card while somebody resets it: `listener_example stop|pause`.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <warden/listener.h>

#include <csignal>
#include <cstdio>
#include <string_view>

namespace {

struct Worker {
  bool stop_on_reset = false;
  bool paused = false;
};

void say(std::string_view line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

// dispatch() calls these from the loop below, between two pieces of work. When announce returns, we have acknowledged.
warden::ListenerCallbacks callbacks_of(Worker& worker) {
  warden::ListenerCallbacks callbacks;
  callbacks.announce = [&worker](const warden::ResetAnnouncement& told) {
    say(fmt::format("PRE_RESET received: reset {} ({})", told.reset_id, told.reason));
    say(worker.stop_on_reset ? "stopping" : "pausing");
    worker.paused = true;
  };
  callbacks.finish = [&worker](const warden::ResetOutcome& told) {
    say(fmt::format("POST_RESET received: reset {}: {} {}", told.reset_id, to_string(told.result), told.reason));
    worker.paused = false;
    say("resumed");
  };
  return callbacks;
}

int fail(const warden::Error& error) {
  fmt::print(stderr, "listener_example: {}\n", error.message);
  return 1;
}

int open_interrupt() {  // Ctrl+C ends the loop, so that everything is closed in order
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 2 ? argv[1] : "";
  if (mode != "stop" && mode != "pause") {
    fmt::print(stderr, "usage: listener_example stop|pause\n");
    return 2;
  }
  const int interrupted = open_interrupt();
  Worker worker{.stop_on_reset = mode == "stop"};
  warden::AttachOptions attach;
  attach.pollable = true;
  const auto session = warden::Session::attach(attach);
  if (!session) return fail(session.error());
  warden::ListenerOptions options;
  options.thread = false;
  const auto listener = warden::Listener::start(*session, callbacks_of(worker), options);
  if (!listener) return fail(listener.error());
  say("attached");
  while (!(worker.paused && worker.stop_on_reset)) {
    if (!worker.paused) say("working");
    pollfd news[] = {{(*listener)->fd(), POLLIN, 0}, {interrupted, POLLIN, 0}};
    poll(news, 2, 500);  // milliseconds that a piece of work takes
    if (news[1].revents != 0) break;
    if (const auto status = (*listener)->dispatch(); !status) return fail(status.error());
  }
}
