// SPDX-License-Identifier: Apache-2.0
// See fabric_selection.h.
#include "tools/warden/fabric_selection.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/warden/duration.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

std::optional<std::uint32_t> small_number(std::string_view text) {
  constexpr std::uint64_t kMost = 0xFFFF;
  const auto number = parse_number(text);
  if (!number || *number > kMost) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

// "X,Y", "(X,Y)", and either behind "MESH:".
std::optional<fabric::FabricNodeId> parse_node(std::string_view text, fabric::MeshId mesh) {
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    const auto named = small_number(text.substr(0, colon));
    if (!named) return std::nullopt;
    mesh = *named;
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with('(') && text.ends_with(')')) text = text.substr(1, text.size() - 2);
  const auto comma = text.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const auto x = small_number(text.substr(0, comma));
  const auto y = small_number(text.substr(comma + 1));
  if (!x || !y) return std::nullopt;
  return fabric::FabricNodeId{.mesh_id = mesh, .logical_x = *x, .logical_y = *y};
}

std::string list_of(std::span<const Place> places) {
  constexpr std::size_t kMostNamed = 8;
  std::string list;
  for (const Place& place : places.first(std::min(places.size(), kMostNamed))) {
    list += (list.empty() ? "" : ", ") + to_string(place.node);
  }
  return places.size() > kMostNamed ? fmt::format("{} and {} more", list, places.size() - kMostNamed) : list;
}

}  // namespace

std::vector<Place> places_of(const fabric::ControlPlane& fabric) {
  std::vector<Place> places;
  for (const fabric::Mesh& mesh : fabric.meshes()) {
    for (const fabric::FabricNodeId& node : fabric.devices(mesh.id)) {
      Place& place = places.emplace_back(Place{.node = node});
      place.card = fabric.card_of(node);
      if (place.card) place.name = fabric.cards()[*place.card]->name();
    }
  }
  return places;
}

Result<fabric::FabricNodeId> find_device(std::string_view text, std::span<const Place> places,
                                         std::optional<fabric::MeshId> mesh) {
  const auto node = parse_node(text, mesh.value_or(0));
  const auto number = small_number(text);
  const auto found = std::ranges::find_if(places, [&](const Place& place) {
    return place.node == node || (number && place.card == *number) || (!text.empty() && place.name == text);
  });
  if (found != places.end()) return found->node;
  return fail(Code::kNotFound,
              fmt::format("there is no device '{}' in the fabric: it has {}, known also by their cards' names and "
                          "numbers in 'warden devices'",
                          printable(text), list_of(places)));
}

Result<fabric::chan_id_t> parse_channel(std::string_view text) {
  const bool has_letter = text.starts_with('e') || text.starts_with('E');
  const auto number = small_number(has_letter ? text.substr(1) : text);
  if (!number || *number >= fabric::kChannels) {
    return fail(Code::kInvalidArgument,
                fmt::format("'{}' is not a channel: e0 to e{}", printable(text), fabric::kChannels - 1));
  }
  return static_cast<fabric::chan_id_t>(*number);
}

// Names of cards may have '-' in them: any that leaves a device on both sides will do.
Result<Edge> find_edge(std::string_view text, std::span<const Place> places, std::optional<fabric::MeshId> mesh) {
  for (auto dash = text.find('-'); dash != std::string_view::npos; dash = text.find('-', dash + 1)) {
    const auto one = find_device(text.substr(0, dash), places, mesh);
    const auto other = find_device(text.substr(dash + 1), places, mesh);
    if (one && other) return Edge{.one = *one, .other = *other};
  }
  return fail(Code::kNotFound,
              fmt::format("'{}' is not an edge of the fabric: two devices with '-' between them, as in 0,0-1,0; it has "
                          "{}",
                          printable(text), list_of(places)));
}

Result<fabric::Selection> make_selection(const SelectionWords& words, std::span<const Place> places) {
  fabric::Selection selection;
  if (words.device.empty() && words.edge.empty()) selection.mesh = words.mesh;
  if (!words.device.empty()) {
    const auto node = find_device(words.device, places, words.mesh);
    if (!node) return std::unexpected(node.error());
    selection.node = *node;
  }
  if (!words.channel.empty()) {
    const auto channel = parse_channel(words.channel);
    if (!channel) return std::unexpected(channel.error());
    selection.channel = *channel;
  }
  if (!words.edge.empty()) {
    const auto edge = find_edge(words.edge, places, words.mesh);
    if (!edge) return std::unexpected(edge.error());
    selection.node = edge->one;
    selection.neighbour = edge->other;
  }
  return selection;
}

}  // namespace warden::cli
