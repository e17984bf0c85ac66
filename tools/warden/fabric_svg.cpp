// SPDX-License-Identifier: Apache-2.0
// See fabric_svg.h. All lengths are in pixels of the picture.
#include "tools/warden/fabric_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace warden::cli {
namespace {

constexpr int kMargin = 24;
constexpr int kHeading = 28;  // of a mesh
constexpr int kChipWidth = 150;
constexpr int kChipHeight = 96;
constexpr int kGapX = 150;  // between chips side by side: two rates are written there
constexpr int kGapY = 130;
constexpr int kBetweenLinks = 20;
constexpr int kRateLift = 5;  // a rate stands on its line
constexpr int kLegend = 40;

struct Point {
  int x = 0;
  int y = 0;
};

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      // What XML has no place for, and bytes that may not be UTF-8.
      default: safe += c >= 0x20 && c < 0x7f ? c : '?';
    }
  }
  return safe;
}

struct Style {
  const char* name;
  const char* colour;
};
constexpr Style kNone{.name = "no router", .colour = "#9a9a9a"};
constexpr std::array<Style, 5> kStyles = {{{.name = "INITIALIZING", .colour = "#7b61c9"},
                                           {.name = "RUNNING", .colour = "#2a9d4a"},
                                           {.name = "PAUSED", .colour = "#d98e04"},
                                           {.name = "DRAINING", .colour = "#2478c7"},
                                           {.name = "RETRAINING", .colour = "#c7247b"}}};

const Style& style_of(const MapEnd& end) {
  const auto state = end.state ? static_cast<std::size_t>(*end.state) : kStyles.size();
  return state < kStyles.size() ? kStyles[state] : kNone;
}

// Thicker the more of its time a router sends.
double width_of(const MapEnd& end) {
  constexpr double kThin = 2;
  constexpr double kThick = 6;
  return end.rate ? kThin + (kThick - kThin) * std::clamp(end.rate->busy, 0.0, 1.0) : kThin;
}

std::string rate_text(const MapEnd& end) { return end.rate ? format_rate(end.rate->words_per_second) + "/s" : ""; }

std::string tooltip(const MapEnd& end) {
  const std::string rate = rate_text(end);
  return escaped(
      fmt::format("{}: {}{}", to_string(end.router), state_text(end), rate.empty() ? "" : ", words " + rate));
}

class Picture {
 public:
  explicit Picture(const FabricMap& map) : map_(map) {
    for (const MapMesh& mesh : map.meshes) {
      tops_[mesh.id] = height_ + kHeading;
      height_ += kHeading + span(mesh.rows, kChipHeight, kGapY) + kMargin;
      width_ = std::max(width_, 2 * kMargin + span(mesh.columns, kChipWidth, kGapX));
    }
  }

  [[nodiscard]] std::string draw() {
    for (const MapMesh& mesh : map_.meshes) {
      text({.x = kMargin, .y = tops_[mesh.id] - 10}, "heading",
           fmt::format("mesh {}: {} x {}", mesh.id, mesh.rows, mesh.columns));
    }
    for (const MapLink& link : map_.links) add_link(link);
    for (const MapDevice& device : map_.devices) add_chip(device);
    add_legend();
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\">\n"
        "<style>text {{ font-family: sans-serif; font-size: 12px; fill: #222; text-anchor: middle; }} "
        ".heading {{ font-size: 15px; text-anchor: start; }} .small {{ font-size: 10px; fill: #555; }} "
        ".legend {{ text-anchor: start; }}</style>\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n{2}</svg>\n",
        width_, height_ + kLegend, body_);
  }

 private:
  static int span(std::uint32_t count, int size, int gap) {
    return count == 0 ? 0 : static_cast<int>(count) * (size + gap) - gap;
  }
  [[nodiscard]] Point corner_of(const fabric::FabricNodeId& node) const {
    const auto top = tops_.find(node.mesh_id);
    return {.x = kMargin + static_cast<int>(node.logical_x) * (kChipWidth + kGapX),
            .y = (top != tops_.end() ? top->second : 0) + static_cast<int>(node.logical_y) * (kChipHeight + kGapY)};
  }
  // Where on the edge of its chip a link begins: `halves` of a step from the middle.
  [[nodiscard]] static Point port_of(Point corner, fabric::Direction direction, int halves) {
    const int middle_x = corner.x + (kChipWidth + halves * kBetweenLinks) / 2;
    const int middle_y = corner.y + (kChipHeight + halves * kBetweenLinks) / 2;
    switch (direction) {
      case fabric::Direction::kEast: return {.x = corner.x + kChipWidth, .y = middle_y};
      case fabric::Direction::kWest: return {.x = corner.x, .y = middle_y};
      case fabric::Direction::kSouth: return {.x = middle_x, .y = corner.y + kChipHeight};
      case fabric::Direction::kNorth: return {.x = middle_x, .y = corner.y};
    }
    return corner;
  }
  static fabric::Direction opposite(fabric::Direction direction) {
    using enum fabric::Direction;
    return direction == kEast ? kWest : direction == kWest ? kEast : direction == kSouth ? kNorth : kSouth;
  }

  void text(Point at, const char* style, const std::string& words, bool upwards = false) {
    const std::string turned = upwards ? fmt::format(" transform=\"rotate(-90 {} {})\"", at.x, at.y) : "";
    body_ +=
        fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\"{}>{}</text>\n", at.x, at.y, style, turned, escaped(words));
  }
  void add_half(const MapEnd& end, Point from, Point to) {
    body_ += fmt::format(
        "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" "
        "stroke-width=\"{:.1f}\"><title>{}</title></line>\n",
        from.x, from.y, to.x, to.y, style_of(end).colour, width_of(end), tooltip(end));
    const std::string rate = rate_text(end);
    if (rate.empty()) return;
    // Along its line, so that neither another line nor another rate runs through it.
    const bool upwards = from.x == to.x;
    Point at{.x = (from.x + to.x) / 2, .y = (from.y + to.y) / 2};
    (upwards ? at.x : at.y) -= kRateLift;
    text(at, "small", rate, upwards);
  }
  void add_link(const MapLink& link) {
    const auto is_beside = [&](const MapLink& other) {
      return other.one.router.node == link.one.router.node && other.other.router.node == link.other.router.node;
    };
    const int count = static_cast<int>(std::ranges::count_if(map_.links, is_beside));
    const int position = drawn_[{link.one.router.node, link.other.router.node}]++;
    const int halves = 2 * position - (count - 1);  // -3, -1, 1, 3 for four
    const Point from = port_of(corner_of(link.one.router.node), link.direction, halves);
    const Point to = port_of(corner_of(link.other.router.node), opposite(link.direction), halves);
    const Point middle{.x = (from.x + to.x) / 2, .y = (from.y + to.y) / 2};
    add_half(link.one, from, middle);
    add_half(link.other, to, middle);
  }
  void add_chip(const MapDevice& device) {
    const Point corner = corner_of(device.node);
    body_ += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#f4f6f8\" stroke=\"#444\">"
        "<title>{}</title></rect>\n",
        corner.x, corner.y, kChipWidth, kChipHeight, escaped(device.card.empty() ? "no card known" : device.card));
    text({.x = corner.x + kChipWidth / 2, .y = corner.y + kChipHeight / 2}, "name", to_string(device.node));
    text({.x = corner.x + kChipWidth / 2, .y = corner.y + kChipHeight / 2 + 18}, "small", short_name(device.card));
  }
  // The end of a long name is what tells cards apart.
  static std::string short_name(const std::string& name) {
    constexpr std::size_t kMostLetters = 24;
    return name.size() <= kMostLetters ? name : "..." + name.substr(name.size() - (kMostLetters - 3));
  }
  void add_legend() {
    int x = kMargin;
    const auto add = [&](const Style& style) {
      body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/>\n", x, height_ + 8,
                           style.colour);
      text({.x = x + 18, .y = height_ + 18}, "legend", style.name);
      x += 130;
    };
    for (const Style& style : kStyles) add(style);
    add(kNone);
    width_ = std::max(width_, x + kMargin);
  }

  const FabricMap& map_;
  std::map<fabric::MeshId, int> tops_;
  std::map<std::pair<fabric::FabricNodeId, fabric::FabricNodeId>, int> drawn_;
  std::string body_;
  int width_ = 0;
  int height_ = kMargin;
};

}  // namespace

std::string svg_of(const FabricMap& map) { return Picture(map).draw(); }

}  // namespace warden::cli
