// SPDX-License-Identifier: Apache-2.0
// The way that packets take, link by link, by the tables that routers have: planned, or read back from them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "driver/fabric/router.h"
#include "kernels/router_layout.h"

namespace warden::fabric {

class Paths {
 public:
  // One link: the router that sends, the router that receives.
  struct Hop {
    RouterId out;
    RouterId in;
  };

  void add(const Router& router, const kernels::RouterBlock& block);
  void remove(const RouterId& router) { routers_.erase(router); }

  // Of what a worker puts into a lane of this router. Nothing if it would not arrive, as far as is known: the tables of
  // a router that was not added lead nowhere.
  [[nodiscard]] std::optional<std::vector<Hop>> from(const RouterId& first, std::uint32_t destination) const;

 private:
  static constexpr chan_id_t kNoChannel = 0xFF;
  struct Entry {
    RouterId peer;
    std::uint16_t number = 0;
    std::uint16_t peer_number = 0;
    std::array<chan_id_t, kernels::kNodesMax> next{};  // by destination
  };
  std::map<RouterId, Entry> routers_;
};

}  // namespace warden::fabric
