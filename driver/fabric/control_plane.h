// SPDX-License-Identifier: Apache-2.0
// The host's side of the fabric: finds the meshes, loads the routers, and knows which there are. What it knows is read
// from the cards, so that another process may go on where one ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "driver/fabric/node.h"
#include "driver/fabric/paths.h"
#include "driver/fabric/router.h"
#include "driver/fabric/topology.h"
#include "kernels/router_layout.h"

namespace warden::fabric {

struct RouterPlan;
struct Survey;

struct BringUpOptions {
  bool telemetry = true;  // of the router image
  bool run = true;        // else the routers are left PAUSED
  std::chrono::milliseconds link_deadline{5000};
  std::chrono::milliseconds start_deadline{5000};
};

// Lines that people are to read; nothing is printed by the library itself.
using LineSink = std::function<void(std::string_view line)>;

// Threads: one at a time.
class ControlPlane {
 public:
  explicit ControlPlane(std::vector<std::unique_ptr<Card>> cards);

  // Whatever ran on the Ethernet tiles of links is replaced. Both go on with cards that were reset.
  [[nodiscard]] Status bring_up(const BringUpOptions& options = {});
  // Finds the fabric that runs, and changes nothing. kNotFound when no router runs. Cards that don't answer, and chips
  // that lost their routers in a reset, are named by remarks(); the routers that face them tell their places.
  [[nodiscard]] Status attach();
  [[nodiscard]] const std::vector<std::string>& remarks() const noexcept { return remarks_; }

  [[nodiscard]] const std::vector<Router>& routers() const noexcept { return routers_; }
  [[nodiscard]] const std::vector<Mesh>& meshes() const noexcept { return meshes_; }
  [[nodiscard]] std::vector<MeshId> get_user_physical_mesh_ids() const;
  // By number of their node.
  [[nodiscard]] std::vector<FabricNodeId> devices(MeshId mesh) const;
  [[nodiscard]] std::uint16_t number_of(const FabricNodeId& node) const noexcept;
  [[nodiscard]] FabricNodeId node_at(MeshId mesh, std::uint32_t number) const noexcept;

  [[nodiscard]] const Router* find(const FabricNodeId& node, chan_id_t channel) const noexcept;
  [[nodiscard]] const Router* find(const RouterId& id) const noexcept { return find(id.node, id.channel); }
  // kNotFound when it names none.
  [[nodiscard]] Result<RouterList> select(const Selection& selection) const;
  [[nodiscard]] RouterList all() const;

  [[nodiscard]] std::span<const std::unique_ptr<Card>> cards() const noexcept { return cards_; }
  [[nodiscard]] Card& card(const Router& router) const noexcept { return *cards_[router.card]; }
  // Nothing when no card is known to be there.
  [[nodiscard]] std::optional<std::size_t> card_of(const FabricNodeId& node) const noexcept;

  // Of one router, as it is now. The whole is read piece by piece while the router goes on.
  [[nodiscard]] Result<kernels::RouterBlock> block(const Router& router) const;
  [[nodiscard]] Result<kernels::RouterTelemetry> telemetry(const Router& router) const;
  [[nodiscard]] Result<RouterStateCommon> state(const Router& router) const;
  // By the tables that the routers had when they were brought up or attached to.
  [[nodiscard]] const Paths& paths() const noexcept { return paths_; }
  // Whether all routers keep telemetry; without it it stays zero.
  [[nodiscard]] bool has_telemetry() const noexcept { return has_telemetry_; }

  void set_log(LineSink sink) { log_ = std::move(sink); }
  void log(std::string_view line) const {
    if (log_) log_(line);
  }

  // The routers of this device were loaded anew, as these plans say; they replace those known of it.
  void adopt(const FabricNodeId& node, std::span<const RouterPlan> plans);

 private:
  void take(Survey found);

  std::vector<std::unique_ptr<Card>> cards_;
  std::vector<Router> routers_;  // by id
  std::vector<Mesh> meshes_;
  std::vector<std::optional<FabricNodeId>> nodes_;  // of the cards
  std::vector<std::string> remarks_;
  Paths paths_;
  bool has_telemetry_ = false;
  LineSink log_;
};

}  // namespace warden::fabric
