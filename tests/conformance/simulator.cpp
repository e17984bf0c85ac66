// SPDX-License-Identifier: Apache-2.0
// Starting, asking and ending warden-sim; CMake says where it is.
#include "tests/conformance/simulator.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <warden/unique_fd.h>

#include "tests/vm/guest_host.h"

namespace warden::testing {
namespace {

constexpr int kPatienceMs = 60'000;

struct Child {
  pid_t pid;
  UniqueFd output;
};

Child start(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  std::string program = WARDEN_SIM_PATH;
  argv.push_back(program.data());
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that crashes leaves nothing behind
    if (::getppid() != parent) ::_exit(127);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  return {pid, UniqueFd(ends[0])};
}

// Reads until the text says enough or ends.
std::string read_until(int fd, const std::string& enough) {
  std::string text;
  while (enough.empty() || text.find(enough) == std::string::npos) {
    pollfd wanted{fd, POLLIN, 0};
    if (::poll(&wanted, 1, kPatienceMs) <= 0) throw std::runtime_error("warden-sim says nothing, only: " + text);
    char piece[4096];
    const ssize_t got = ::read(fd, piece, sizeof(piece));
    if (got <= 0) break;
    text.append(piece, static_cast<std::size_t>(got));
  }
  return text;
}

// Every number of `now` less that of `before`, at all depths: counters.
nlohmann::json since(const nlohmann::json& before, const nlohmann::json& now) {
  if (now.is_number_unsigned()) return now.get<std::uint64_t>() - before.get<std::uint64_t>();
  if (!now.is_object()) return now;
  nlohmann::json difference;
  for (const auto& [key, value] : now.items()) difference[key] = since(before.at(key), value);
  return difference;
}

}  // namespace

std::string Simulator::attached_device() {
  const char* device = std::getenv("WARDEN_TEST_DEVICE");
  return device == nullptr ? "" : device;
}

bool Simulator::is_hardware() { return !attached_device().empty() && std::getenv("WARDEN_VM_HOST") == nullptr; }

void Simulator::attach(const std::vector<std::string>& options) {
  attached_ = true;
  if (is_hardware()) return;
  set_fault("none");
  for (std::size_t i = 0; i + 1 < options.size(); i += 2) {
    if (options[i] != "--reset-duration") throw std::runtime_error("a running warden-sim can't change " + options[i]);
    ctl({"reset-duration", "0", options[i + 1]});
  }
  stats_before_ = all_stats(0);
}

Simulator::Simulator(const std::vector<std::string>& options) {
  if (!attached_device().empty()) {
    attach(options);
    return;
  }
  char pattern[] = "/tmp/warden-sim-XXXXXX";
  if (::mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
  directory_ = pattern;
  std::vector<std::string> arguments{"--dir", directory_};
  arguments.insert(arguments.end(), options.begin(), options.end());
  Child child = start(arguments);
  pid_ = child.pid;
  if (read_until(child.output.get(), "ready").find("ready") == std::string::npos) {
    throw std::runtime_error("warden-sim did not become ready");
  }
}

Simulator::~Simulator() {
  if (attached_) return;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string Simulator::device_name(int chip) const {
  if (attached_) return attached_device();
  return "vfio-user:" + directory_ + "/chip" + std::to_string(chip) + ".sock";
}

std::string Simulator::ctl(const std::vector<std::string>& arguments) const {
  if (attached_) {
    std::vector<std::string> request{"sim"};
    request.insert(request.end(), arguments.begin(), arguments.end());
    const auto answer = vm::ask_host(request);
    if (!answer) throw std::runtime_error("warden-sim ctl on the host failed: " + answer.error().message);
    return *answer;
  }
  std::vector<std::string> all{"ctl", "--dir", directory_};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Child child = start(all);
  const std::string text = read_until(child.output.get(), "");
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  if (status != 0) throw std::runtime_error("warden-sim ctl failed: " + text);
  return text;
}

nlohmann::json Simulator::all_stats(int chip) const {
  return nlohmann::json::parse(ctl({"stats", "--json"})).at("chips").at(static_cast<std::size_t>(chip));
}

nlohmann::json Simulator::stats(int chip) const {
  return attached_ ? since(stats_before_, all_stats(chip)) : all_stats(chip);
}

}  // namespace warden::testing
