// SPDX-License-Identifier: Apache-2.0
// One request to a running simulator, and its answer as people read it.
#include "tools/sim/ctl.h"

#include <sys/socket.h>

#include <array>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "tools/sim/listening_socket.h"
#include "tools/sim/simulator.h"

namespace warden::sim {

namespace {

void append(std::string& text, const std::string& prefix, const nlohmann::json& value) {
  if (value.is_object()) {
    for (const auto& [name, inner] : value.items())
      append(text, prefix.empty() ? name : fmt::format("{}.{}", prefix, name), inner);
    return;
  }
  text += fmt::format("  {:<32} {}\n", prefix, value.is_string() ? value.get<std::string>() : value.dump());
}

}  // namespace

Result<nlohmann::json> ask_simulator(const std::string& directory, const nlohmann::json& request) {
  const std::string path = directory + kControlSocket;
  const Result<UniqueFd> socket = connect_to(path);
  if (!socket) {
    return fail(socket.error().code,
                fmt::format("{}; is `warden-sim --dir {}` running?", socket.error().message, directory));
  }
  const std::string line = request.dump() + '\n';
  if (::send(socket->get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    return fail_errno("send to " + path);
  }
  std::string answer;
  std::array<char, 4096> buffer;
  while (!answer.ends_with('\n')) {
    const ssize_t received = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return fail_errno("answer awaited from " + path);
    if (received == 0) return fail(Code::kDisconnected, path + ": closed by the simulator without an answer");
    answer.append(buffer.data(), static_cast<std::size_t>(received));
  }
  nlohmann::json body = nlohmann::json::parse(answer, nullptr, false);
  if (!body.is_object() || !body.contains("ok")) return fail(Code::kProtocol, path + ": answer is not understood");
  if (body["ok"] != true) return fail(Code::kFailed, body.value("error", "refused without a reason"));
  return body;
}

std::string to_text(const nlohmann::json& answer) {
  std::string text;
  for (const auto& [name, value] : answer.items()) {
    if (name != "chips" && name != "ok") text += fmt::format("{} {}\n", name, value.dump());
  }
  for (const auto& chip : answer.value("chips", nlohmann::json::array())) {
    text += fmt::format("chip {}\n", chip.value("chip", 0));
    for (const auto& [name, value] : chip.items()) {
      if (name != "chip") append(text, name, value);
    }
  }
  return text;
}

}  // namespace warden::sim
