// SPDX-License-Identifier: Apache-2.0
// Windows and buffers as JSON blobs.
#include "tools/wardend/holdings.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace warden::daemon {

namespace {

using nlohmann::json;

constexpr std::string_view kWindowPrefix = "window/";
constexpr std::string_view kBufferPrefix = "dma/";

std::optional<HoldingKey> key_after(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  HoldingKey key;
  const char* end = name.data() + name.size();
  const auto session = std::from_chars(name.data(), end, key.session_id);
  if (session.ec != std::errc() || session.ptr == end || *session.ptr != '/') return std::nullopt;
  const auto number = std::from_chars(session.ptr + 1, end, key.number);
  if (number.ec != std::errc() || number.ptr != end) return std::nullopt;
  return key;
}

}  // namespace

std::string keeper_name_of_window(const HoldingKey& key) {
  return fmt::format("{}{}/{}", kWindowPrefix, key.session_id, key.number);
}

std::string keeper_name_of_buffer(const HoldingKey& key) {
  return fmt::format("{}{}/{}", kBufferPrefix, key.session_id, key.number);
}

std::optional<HoldingKey> window_key(std::string_view keeper_name) { return key_after(kWindowPrefix, keeper_name); }
std::optional<HoldingKey> buffer_key(std::string_view keeper_name) { return key_after(kBufferPrefix, keeper_name); }

std::string blob_of(const HeldWindow& window) {
  const chip::WindowRequest& request = window.request;
  const chip::TileRectangle& tiles = request.tiles;
  return json{{"device", window.device_index},
              {"epoch", window.epoch},
              {"size", request.size},
              {"tiles", {tiles.first.x, tiles.first.y, tiles.last.x, tiles.last.y}},
              {"multicast", request.multicast},
              {"noc", request.noc},
              {"ordering", request.ordering},
              {"base", request.base},
              {"quarantined", window.quarantined}}
      .dump();
}

std::string blob_of(const HeldBuffer& buffer) {
  json blob = {{"device", buffer.device_index}, {"iova", buffer.iova.value}, {"size", buffer.size_bytes}};
  if (buffer.quarantined_epoch) blob["quarantined"] = *buffer.quarantined_epoch;
  return blob.dump();
}

Result<HeldWindow> window_from(const Kept& kept) {
  try {
    const json blob = json::parse(kept.blob);
    HeldWindow window{.device_index = blob.at("device"), .epoch = blob.at("epoch"), .request = {}, .window = {}};
    const auto& tiles = blob.at("tiles");
    window.request = {.size = blob.at("size"),
                      .tiles = {{tiles.at(0), tiles.at(1)}, {tiles.at(2), tiles.at(3)}},
                      .multicast = blob.at("multicast"),
                      .noc = blob.at("noc"),
                      .ordering = blob.at("ordering"),
                      .base = blob.at("base")};
    window.quarantined = blob.at("quarantined");
    return window;
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, std::string("a kept window: ") + error.what());
  }
}

Result<HeldBuffer> buffer_from(Kept kept) {
  try {
    const json blob = json::parse(kept.blob);
    HeldBuffer buffer{.device_index = blob.at("device"),
                      .iova = {blob.at("iova")},
                      .size_bytes = blob.at("size"),
                      .memory = {},
                      .quarantined_epoch = {}};
    if (blob.contains("quarantined")) buffer.quarantined_epoch = blob.at("quarantined").get<std::uint64_t>();
    if (kept.fds.size() != 1) return fail(Code::kProtocol, "a kept buffer without its memory");
    buffer.memory.emplace(std::move(kept.fds.front()));
    return buffer;
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, std::string("a kept buffer: ") + error.what());
  }
}

}  // namespace warden::daemon
