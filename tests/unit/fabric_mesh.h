// SPDX-License-Identifier: Apache-2.0
// What the Ethernet tiles of a mesh would say, for tests without cards; single links can be taken away.
#pragma once

#include <string>
#include <vector>

#include "driver/fabric/topology.h"

namespace warden::fabric::testing {

class MeshWords {
 public:
  MeshWords(std::uint8_t rows, std::uint8_t columns, std::uint8_t links_per_edge = 1)
      : cards_(std::size_t{rows} * columns), columns_(columns) {
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      names_.push_back("chip" + std::to_string(card));
      for (std::uint8_t i = 0; i < links_per_edge; ++i) {
        if (card % columns + 1U < columns) cable(card, i, card + 1, static_cast<chan_id_t>(4 + i));
        if (card + columns < cards_.size()) {
          cable(card, static_cast<chan_id_t>(8 + i), card + columns, static_cast<chan_id_t>(12 + i));
        }
      }
    }
  }

  void cable(std::size_t one, chan_id_t one_channel, std::size_t other, chan_id_t other_channel) {
    cards_[one][one_channel] = {LinkState::kUp, name(one), name(other), other_channel};
    cards_[other][other_channel] = {LinkState::kUp, name(other), name(one), one_channel};
  }
  void cut(std::size_t card, chan_id_t channel) {
    LinkWords& here = cards_[card][channel];
    if (here.state != LinkState::kUp) return;
    const std::size_t other = std::size_t{here.there.y} * columns_ + here.there.x;
    cards_[other][here.remote_channel] = {};
    here = {};
  }
  [[nodiscard]] ChipName name(std::size_t card) const {
    return {.board = static_cast<std::uint32_t>(100 + card),
            .x = static_cast<std::uint8_t>(card % columns_),
            .y = static_cast<std::uint8_t>(card / columns_)};
  }
  [[nodiscard]] LinkWords& link(std::size_t card, chan_id_t channel) { return cards_[card][channel]; }
  [[nodiscard]] Result<Topology> topology() const { return make_topology(cards_, names_); }
  [[nodiscard]] std::size_t size() const { return cards_.size(); }

 private:
  std::vector<CardLinks> cards_;
  std::vector<std::string> names_;
  std::size_t columns_;
};

}  // namespace warden::fabric::testing
