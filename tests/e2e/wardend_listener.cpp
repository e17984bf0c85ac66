// SPDX-License-Identifier: Apache-2.0
// A listener in a process of its own for tests: `wardend_listener SOCKET NAME ack|silent|extend`. Prints one line at
// each step, and lives until it is killed.
#include <unistd.h>
#include <warden/listener.h>

#include <cstdio>
#include <future>
#include <string>

namespace warden {
namespace {

int run(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string mode = argv[3];
  AttachOptions attach;
  attach.socket_path = argv[1];
  attach.name = argv[2];
  attach.timeout = std::chrono::seconds(60);
  auto session = Session::attach(attach);
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message.c_str());
    return 1;
  }
  std::promise<Listener*> started_listener;  // callbacks come from another thread, maybe before start() returns
  const std::shared_future<Listener*> listener = started_listener.get_future().share();
  ListenerCallbacks callbacks;
  callbacks.announce = [&](const ResetAnnouncement& announcement) {
    if (mode == "extend") {
      const auto granted = listener.get()->need_more_time(announcement.reset_id, std::chrono::hours(1));
      std::printf("granted %lld\n", granted ? static_cast<long long>(granted->count()) : -1LL);
    }
    std::printf("announced %llu\n", static_cast<unsigned long long>(announcement.reset_id));
    std::fflush(stdout);
  };
  callbacks.finish = [&](const ResetOutcome& outcome) {
    std::printf("finished %llu %s\n", static_cast<unsigned long long>(outcome.reset_id),
                std::string(to_string(outcome.result)).c_str());
    std::fflush(stdout);
  };
  ListenerOptions options;
  options.acknowledge_by_hand = mode != "ack";
  auto started = Listener::start(*session, std::move(callbacks), options);
  if (!started) return 1;
  started_listener.set_value(started->get());
  std::printf("listening\n");
  std::fflush(stdout);
  for (;;) ::pause();
}

}  // namespace
}  // namespace warden

int main(int argc, char** argv) { return warden::run(argc, argv); }
