// SPDX-License-Identifier: Apache-2.0
// See live_view.h. The terminal's other screen is drawn on, so that the one before comes back unchanged.
#include "tools/warden/live_view.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string_view>
#include <thread>

#include "tools/warden/command.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

// Other screen, no cursor, long lines cut at the edge; and back.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr std::string_view kLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr std::string_view kFromTheTop = "\x1b[H\x1b[J";

void write_all(std::string_view text) {
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) return;  // nobody looks any more
}

// Whatever is under way is of no interest: a request may take as long as wardend likes, Ctrl-C must not.
void leave_at_once(int /*number*/) {
  write_all(kLeave);
  ::_exit(kExitOk);
}

void end_at_once(int /*number*/) { ::_exit(kExitOk); }

void handle_interrupts(bool on_screen) {
  struct sigaction action{};
  action.sa_handler = on_screen ? leave_at_once : end_at_once;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

std::size_t lines_of_screen() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

// False: nobody reads any more.
bool show(const std::string& text, bool on_screen) {
  if (on_screen) {
    fmt::print("{}{}", kFromTheTop, fit_to_screen(text, lines_of_screen()));
  } else {
    fmt::print("{}\n", text);
  }
  return std::fflush(stdout) == 0;
}

}  // namespace

int run_live_view(const Frame& frame, std::chrono::milliseconds interval) {
  const bool on_screen = ::isatty(STDOUT_FILENO) == 1;
  auto text = frame();  // an error before the first picture needs no screen
  if (!text) return report(text.error());
  handle_interrupts(on_screen);
  if (on_screen) write_all(kEnter);
  while (text && show(*text, on_screen)) {
    std::this_thread::sleep_for(interval);
    text = frame();
  }
  if (on_screen) write_all(kLeave);
  return text ? kExitFailed : report(text.error());
}

}  // namespace warden::cli
