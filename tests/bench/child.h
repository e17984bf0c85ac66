// SPDX-License-Identifier: Apache-2.0
// Other processes of a benchmark: forked listeners and started programs, gone when their owner is.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <warden/result.h>

namespace warden::bench {

// Killed and reaped with the object.
class Child {
 public:
  // Runs `work` in a forked process, which then ends; it also ends when this one does. Fork before making threads.
  [[nodiscard]] static Result<Child> fork(const std::function<void()>& work);
  // Starts a program with its output discarded.
  [[nodiscard]] static Result<Child> start(const std::vector<std::string>& command);

  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept;
  ~Child() { end(); }

  [[nodiscard]] bool is_running() const noexcept;

 private:
  explicit Child(pid_t pid) noexcept : pid_(pid) {}
  void end() noexcept;
  pid_t pid_ = -1;
};

// A folder of its own for sockets, removed with everything in it. Short, for the limit of socket paths.
class ScratchFolder {
 public:
  [[nodiscard]] static Result<ScratchFolder> make();
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ~ScratchFolder();
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Looks again every millisecond until `condition` holds. kTimeout names `what`.
[[nodiscard]] Status await(const std::string& what, const std::function<bool()>& condition,
                           std::chrono::seconds bound = std::chrono::seconds(60));

}  // namespace warden::bench
