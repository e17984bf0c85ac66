// SPDX-License-Identifier: Apache-2.0
// What the firmware of the Ethernet tiles says about their links, read from the cards. Where it says so: tt-umd.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "driver/fabric/patience.h"
#include "driver/fabric/topology.h"

namespace warden::fabric {
namespace {

constexpr CardAddress kTrainingWord{0x1104};
constexpr CardAddress kChipWord{0x1108};
constexpr CardAddress kRemoteChipWord{0x1124};
constexpr std::uint64_t kResults = 0x1EC0;
constexpr CardAddress kBoardWord{kResults + 4 * 64};
constexpr CardAddress kRemoteBoardWord{kResults + 4 * 72};
constexpr CardAddress kRemoteChannelWord{kResults + 4 * 76};

constexpr std::uint32_t kInProgress = 0;
constexpr std::uint32_t kSuccess = 1;

constexpr LinkState state_of(std::uint32_t training) {
  if (training == kSuccess) return LinkState::kUp;
  return training == kInProgress ? LinkState::kTraining : LinkState::kDown;
}

bool any_trains(std::span<const CardLinks> cards) {
  for (const CardLinks& links : cards) {
    for (const LinkWords& link : links) {
      if (link.state == LinkState::kTraining) return true;
    }
  }
  return false;
}

// Up at one end only: firmware tells of a link at each end in its own time. A card none of whose links is up has no
// name yet, and may be the one that is looked for.
bool any_is_half_up(std::span<const CardLinks> cards) {
  std::map<ChipName, const CardLinks*> named;
  bool is_any_nameless = false;
  for (const CardLinks& links : cards) {
    const auto up = std::ranges::find(links, LinkState::kUp, &LinkWords::state);
    if (up != links.end()) named.emplace(up->here, &links);
    is_any_nameless = is_any_nameless || up == links.end();
  }
  return std::ranges::any_of(cards, [&](const CardLinks& links) {
    return std::ranges::any_of(links, [&](const LinkWords& link) {
      if (link.state != LinkState::kUp) return false;
      const auto peer = named.find(link.there);
      return peer == named.end() ? is_any_nameless : (*peer->second)[link.remote_channel].state != LinkState::kUp;
    });
  });
}

}  // namespace

Tile ethernet_tile(chan_id_t channel) noexcept {
  constexpr std::array<std::uint8_t, 8> kColumns{9, 1, 8, 2, 7, 3, 6, 4};
  return {.x = kColumns[channel % 8U], .y = static_cast<std::uint8_t>(channel < 8 ? 0 : 6)};
}

Result<LinkWords> read_link(Card& card, chan_id_t channel) {
  const Tile tile = ethernet_tile(channel);
  const auto training = card.read32(tile, kTrainingWord);
  if (!training) return wrap(training.error(), fmt::format("read the link of {} E{}", card.name(), channel));
  LinkWords link{.state = state_of(*training), .here = {}, .there = {}, .remote_channel = 0};
  if (link.state != LinkState::kUp) return link;
  std::array<std::uint32_t, 5> words{};
  constexpr std::array kWords{kChipWord, kRemoteChipWord, kBoardWord, kRemoteBoardWord, kRemoteChannelWord};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto word = card.read32(tile, kWords[i]);
    if (!word) return wrap(word.error(), fmt::format("read the link of {} E{}", card.name(), channel));
    words[i] = *word;
  }
  const auto [chip, remote_chip, board, remote_board, remote_channel] = words;
  link.here = {.board = board,
               .x = static_cast<std::uint8_t>(chip >> 16 & 0xFF),
               .y = static_cast<std::uint8_t>(chip >> 24 & 0xFF)};
  link.there = {.board = remote_board,
                .x = static_cast<std::uint8_t>(remote_chip >> 16 & 0x3F),
                .y = static_cast<std::uint8_t>(remote_chip >> 22 & 0x3F)};
  if (remote_channel >= kChannels) {
    return fail(Code::kProtocol, fmt::format("{} E{} says that it leads to channel {}: there are {}", card.name(),
                                             channel, remote_channel, kChannels));
  }
  link.remote_channel = static_cast<chan_id_t>(remote_channel);
  return link;
}

Result<CardLinks> read_links(Card& card) {
  CardLinks links{};
  for (chan_id_t channel = 0; channel < kChannels; ++channel) {
    auto link = read_link(card, channel);
    if (!link) return std::unexpected(std::move(link).error());
    links[channel] = *link;
  }
  return links;
}

Result<Topology> discover(std::span<const std::unique_ptr<Card>> cards, std::chrono::milliseconds link_deadline) {
  std::vector<std::string> names;
  for (const auto& card : cards) names.push_back(card->name());
  Patience patience(link_deadline);
  while (true) {
    std::vector<CardLinks> links;
    for (const auto& card : cards) {
      auto read = read_links(*card);
      if (!read) return std::unexpected(std::move(read).error());
      links.push_back(*read);
    }
    const bool is_settled = !any_trains(links) && !any_is_half_up(links);
    if (is_settled || !patience.again()) return make_topology(links, names);
  }
}

}  // namespace warden::fabric
