// SPDX-License-Identifier: Apache-2.0
// A program run by a test: its lines as they come, its end, and no trace of it afterwards.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warden/unique_fd.h>

namespace warden::test {

// Generous: a test that hits it has failed.
inline constexpr std::chrono::seconds kDeadline{60};

// Waits until `holds()` does, with a deadline; for things of other processes that tell nobody.
template <typename Condition>
[[nodiscard]] bool eventually(Condition holds) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(1000);
  }
  return true;
}

// Dies with its object, or with the test's thread that started it.
class Process {
 public:
  struct Options {
    std::map<std::string, std::string> environment;  // added to the test's own
    std::vector<int> keep_fds;                       // stay open in the program
    int stdin_fd = -1;                               // -1: /dev/null
    bool own_group = true;                           // the destructor kills the whole process group
  };

  // A program that can't be executed ends with status 127.
  explicit Process(std::vector<std::string> command_line, const Options& options);
  explicit Process(std::vector<std::string> command_line) : Process(std::move(command_line), Options{}) {}
  Process(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  Process& operator=(Process&&) = delete;
  ~Process();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const;

  // The first line of stdout or stderr that contains `text`, looked for behind the line that was found before.
  // Nothing when the program closed both, or at the deadline; output() then says what there was instead.
  std::optional<std::string> wait_for_line(std::string_view text);
  // The next line of stdout alone.
  std::optional<std::string> read_line();
  // Reads everything to the end and waits. The exit status, or 128 and the signal. Nothing at the deadline.
  std::optional<int> wait();
  // True when it has ended already; its status stays for wait().
  [[nodiscard]] bool has_ended() const;

  [[nodiscard]] const std::string& out() const noexcept { return streams_[0].text; }
  [[nodiscard]] const std::string& err() const noexcept { return streams_[1].text; }
  // Both, with all that has come until now, for messages.
  [[nodiscard]] std::string output();

 private:
  struct Stream {
    UniqueFd fd;
    std::string text;
    std::size_t looked_bytes = 0;  // lines before this were found already
  };
  bool read_some(std::chrono::steady_clock::time_point deadline);
  std::optional<std::string> wait_for_line(std::string_view text, std::size_t stream_count);
  std::optional<std::string> find_line(std::string_view text, std::size_t stream_count);

  pid_t pid_ = -1;
  bool own_group_ = true;
  Stream streams_[2];
  std::optional<int> status_;
};

// A fresh directory with a short name, removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace warden::test
