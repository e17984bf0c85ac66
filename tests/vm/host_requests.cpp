// SPDX-License-Identifier: Apache-2.0
// See host_requests.h.
#include "tests/vm/host_requests.h"

#include <sys/socket.h>

#include <fmt/format.h>

#include "tests/support/process.h"

namespace warden::vm {

HostRequests::HostRequests(UniqueFd line, UniqueFd monitor, std::string simulator)
    : line_(std::move(line)),
      monitor_(std::move(monitor)),
      simulator_(std::move(simulator)),
      thread_([this] { serve(); }) {}

HostRequests::~HostRequests() {
  ::shutdown(line_.descriptor(), SHUT_RDWR);
  ::shutdown(monitor_.descriptor(), SHUT_RDWR);
}

void HostRequests::serve() {
  const Status greeted = monitor_.greet();
  while (true) {
    // The machine's own deadline ends this.
    const Result<std::string> line = line_.receive(Clock::now() + std::chrono::hours(24));
    if (!line) return;
    const nlohmann::json request = nlohmann::json::parse(*line, nullptr, false);
    if (!request.is_object()) continue;  // not from warden-vm-ask
    Result<std::string> done = fail(Code::kProtocol, "a request is a list of words");
    if (!greeted) done = std::unexpected(greeted.error());
    const nlohmann::json words = request.value("request", nlohmann::json());
    const auto is_text = [](const nlohmann::json& word) { return word.is_string(); };
    if (greeted && words.is_array() && !words.empty() && std::ranges::all_of(words, is_text)) {
      done = carry_out(words.get<std::vector<std::string>>());
    }
    const nlohmann::json answer{{"number", request.value("number", std::uint64_t{0})},
                                {"done", done.has_value()},
                                {"text", done ? *done : done.error().message}};
    if (!line_.send(answer.dump())) return;
  }
}

Result<std::string> HostRequests::carry_out(const std::vector<std::string>& words) {
  const std::string& kind = words.front();
  const auto word = [&](std::size_t index) { return words.size() > index ? words[index] : std::string(); };
  if (kind == "sim") return run_simulator_command({words.begin() + 1, words.end()});
  if (words.size() < 2 || words.size() > 3 || (kind != "qmp" && kind != "await")) {
    return fail(Code::kInvalidArgument,
                fmt::format("no request '{}': there are sim WORD..., qmp COMMAND [JSON], await EVENT [DEVICE]",
                            fmt::join(words, " ")));
  }
  const nlohmann::json arguments =
      kind == "qmp" && words.size() > 2 ? nlohmann::json::parse(words[2], nullptr, false) : nlohmann::json();
  if (arguments.is_discarded()) return fail(Code::kInvalidArgument, "no JSON: " + words[2]);
  const Result<nlohmann::json> answer =
      kind == "qmp" ? monitor_.execute(words[1], arguments) : monitor_.await_event(words[1], word(2));
  if (!answer) return std::unexpected(answer.error());
  return answer->dump() + "\n";
}

Result<std::string> HostRequests::run_simulator_command(const std::vector<std::string>& words) {
  std::vector<std::string> command{WARDEN_BIN_DIR "/warden-sim", "ctl", "--dir", simulator_};
  command.insert(command.end(), words.begin(), words.end());
  test::Process program(std::move(command));
  const auto status = program.wait();
  if (status != 0) return fail(Code::kFailed, fmt::format("status {}: {}", status.value_or(-1), program.output()));
  return program.out();
}

}  // namespace warden::vm
