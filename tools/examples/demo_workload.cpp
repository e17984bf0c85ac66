// SPDX-License-Identifier: Apache-2.0
// A workload for demonstrations: writes blocks to L1 and DRAM of the first card and reads them back, checksummed, until
// interrupted. Around a reset it pauses, opens the card again, shows what was lost, and goes on.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <warden/device.h>
#include <warden/listener.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>

namespace {

using warden::CardAddress;
using warden::Tile;

constexpr std::size_t kBlockWords = 1024;
constexpr std::chrono::milliseconds kLineInterval{200};
using Block = std::array<std::uint32_t, kBlockWords>;

// The corner Tensix tile of a Wormhole and its first DRAM tile (tt-isa-documentation), clear of firmware's own memory.
struct Place {
  std::string_view name;
  Tile tile;
  CardAddress address;
};
constexpr std::array<Place, 2> kPlaces = {
    {{"L1", {.x = 1, .y = 1}, {0x40000}}, {"DRAM", {.x = 0, .y = 0}, {0x100000}}}};

// Each line begins with the time that wardend's events carry: seconds of CLOCK_BOOTTIME.
void say(std::string_view line) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  fmt::print("{}.{:06} {}\n", now.tv_sec, now.tv_nsec / 1000, line);
  std::fflush(stdout);
}

// FNV-1a: each block carries the checksum of the rest in its last word.
std::uint32_t checksum(std::span<const std::uint32_t> words) {
  std::uint32_t sum = 2166136261;
  for (const std::uint32_t word : words) sum = (sum ^ word) * 16777619;
  return sum;
}

class Workload {
 public:
  explicit Workload(std::shared_ptr<warden::Session> session) : session_(std::move(session)) {}

  warden::Status open() {
    auto device = warden::Device::open(session_, "0");
    if (!device) return std::unexpected(device.error());
    device_.emplace(std::move(*device));
    return {};
  }

  // New data everywhere, then all of it read back.
  warden::Status run_once() {
    for (std::uint32_t& word : block_) word = static_cast<std::uint32_t>(random_());
    block_.back() = checksum(std::span(block_).first(kBlockWords - 1));
    for (const Place& place : kPlaces) {
      if (auto status = device_->write(place.tile, place.address, std::as_bytes(std::span(block_))); !status)
        return status;
    }
    if (auto status = verify(); !status) return status;
    ++loops_;
    return {};
  }

  warden::Status verify() {
    for (const Place& place : kPlaces) {
      Block seen{};
      if (auto status = device_->read(place.tile, place.address, std::as_writable_bytes(std::span(seen))); !status) {
        return status;
      }
      if (seen.back() != checksum(std::span(seen).first(kBlockWords - 1)) || seen != block_) {
        return warden::fail(warden::Code::kFailed, fmt::format("{} does not hold what was written", place.name));
      }
      verified_bytes_ += sizeof seen;
    }
    return {};
  }

  // After a reset nothing that we wrote to L1 may still be there.
  warden::Status show_loss() {
    const Place& l1 = kPlaces.front();
    const auto word = device_->read32(l1.tile, l1.address);
    if (!word) return std::unexpected(word.error());
    say(fmt::format("L1 word {}: wrote {:#010x}, now reads {:#010x}", *word == block_.front() ? "kept" : "lost",
                    block_.front(), *word));
    return {};
  }

  void on_announce(const warden::ResetAnnouncement& told) {
    say(fmt::format("PRE_RESET received: reset {} ({})", told.reset_id, told.reason));
    if (!told.owed) return pause();
    if (const auto status = verify(); !status) say("data WRONG before the reset: " + status.error().message);
    say(fmt::format("data checked before pausing: {} bytes verified", verified_bytes_));
    pause();
  }

  void on_finish(const warden::ResetOutcome& told) {
    say(fmt::format("POST_RESET received: reset {}: {} {}", told.reset_id, to_string(told.result), told.reason));
    finished_ = told.result;
  }

  // Once the result is known. A card that was not reset properly is left alone: the workload stays paused.
  warden::Status resume() {
    const auto result = std::exchange(finished_, std::nullopt);
    if (!result || *result == warden::ResetResult::kFailed || *result == warden::ResetResult::kCardLost) return {};
    if (auto status = open(); !status) return status;
    say("reopened");
    if (*result == warden::ResetResult::kOk) {
      if (auto status = show_loss(); !status) return status;
    }
    paused_ = false;
    say("resumed");
    return {};
  }

  warden::Status step() {
    if (finished_) return resume();
    if (paused_) return {};
    auto status = run_once();
    // Another reset may have begun since the last look: its announcement is about to come.
    if (!status && (status.error().code == warden::Code::kResetting || status.error().code == warden::Code::kStale))
      return {};
    if (status && std::chrono::steady_clock::now() >= next_line_) {
      say(fmt::format("loop {}: {} bytes verified", loops_, verified_bytes_));
      next_line_ = std::chrono::steady_clock::now() + kLineInterval;
    }
    return status;
  }

  [[nodiscard]] bool paused() const noexcept { return paused_; }

 private:
  void pause() {
    paused_ = true;
    say(fmt::format("pausing after loop {}", loops_));
  }

  std::shared_ptr<warden::Session> session_;
  std::optional<warden::Device> device_;
  std::mt19937 random_{std::random_device{}()};
  Block block_{};
  std::uint64_t loops_ = 0;
  std::uint64_t verified_bytes_ = 0;
  std::chrono::steady_clock::time_point next_line_;
  bool paused_ = false;
  std::optional<warden::ResetResult> finished_;
};

int fail(const warden::Error& error) {
  fmt::print(stderr, "demo_workload: {}\n", error.message);
  return 1;
}

int open_interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

}  // namespace

int main() {
  const int interrupted = open_interrupt();
  warden::AttachOptions attach;
  attach.name = "demo_workload";
  attach.pollable = true;
  const auto session = warden::Session::attach(attach);
  if (!session) return fail(session.error());
  Workload workload(*session);
  if (const auto status = workload.open(); !status) return fail(status.error());
  // Without a thread: dispatch() calls back between two loops, so nothing is under way when we pause.
  warden::ListenerOptions options;
  options.thread = false;
  const auto listener =
      warden::Listener::start(*session,
                              {.announce = [&workload](const auto& told) { workload.on_announce(told); },
                               .finish = [&workload](const auto& told) { workload.on_finish(told); }},
                              options);
  if (!listener) return fail(listener.error());
  say("attached");
  for (;;) {
    pollfd news[] = {{(*listener)->fd(), POLLIN, 0}, {interrupted, POLLIN, 0}};
    poll(news, 2, workload.paused() ? 1000 : 0);
    if (news[1].revents != 0) return 0;
    if (const auto status = (*listener)->dispatch(); !status) return fail(status.error());
    if (const auto status = workload.step(); !status) return fail(status.error());
  }
}
