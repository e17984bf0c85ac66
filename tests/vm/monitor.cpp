// SPDX-License-Identifier: Apache-2.0
// See monitor.h. The protocol: docs/interop/qmp-spec of QEMU.
#include "tests/vm/monitor.h"

#include <algorithm>

#include <fmt/format.h>

namespace warden::vm {

namespace {

constexpr std::chrono::seconds kPatience{60};

}  // namespace

Result<nlohmann::json> Monitor::next(Clock::time_point deadline) {
  Result<std::string> line = channel_.receive(deadline);
  if (!line) return wrap(std::move(line).error(), "QEMU's monitor");
  nlohmann::json message = nlohmann::json::parse(*line, nullptr, false);
  if (!message.is_object()) return fail(Code::kProtocol, "QEMU's monitor: no JSON object: " + *line);
  return message;
}

Status Monitor::greet() {
  const Result<nlohmann::json> greeting = next(Clock::now() + kPatience);
  if (!greeting) return std::unexpected(greeting.error());
  const Result<nlohmann::json> done = execute("qmp_capabilities", {});
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<nlohmann::json> Monitor::execute(const std::string& command, const nlohmann::json& arguments) {
  nlohmann::json request{{"execute", command}};
  if (!arguments.is_null()) request["arguments"] = arguments;
  if (Status sent = channel_.send(request.dump()); !sent) return wrap(std::move(sent).error(), "QEMU's monitor");
  const auto deadline = Clock::now() + kPatience;
  while (true) {
    Result<nlohmann::json> message = next(deadline);
    if (!message) return wrap(std::move(message).error(), fmt::format("answer to {}", command));
    if (message->contains("event")) {
      events_.push_back(std::move(*message));
    } else if (message->contains("error")) {
      return fail(Code::kFailed, fmt::format("{}: {}", command, message->at("error").value("desc", "no reason given")));
    } else if (message->contains("return")) {
      return message->at("return");
    }
  }
}

Result<nlohmann::json> Monitor::await_event(const std::string& name, const std::string& device) {
  const auto deadline = Clock::now() + kPatience;
  while (true) {
    const auto found = std::ranges::find_if(events_, [&](const nlohmann::json& event) {
      return event.value("event", "") == name &&
             (device.empty() || event.value("data", nlohmann::json::object()).value("device", "") == device);
    });
    if (found != events_.end()) {
      nlohmann::json data = found->value("data", nlohmann::json::object());
      events_.erase(found);
      return data;
    }
    Result<nlohmann::json> message = next(deadline);
    if (!message) return wrap(std::move(message).error(), fmt::format("event {} {}", name, device));
    if (message->contains("event")) events_.push_back(std::move(*message));
  }
}

}  // namespace warden::vm
