// SPDX-License-Identifier: Apache-2.0
// A row of simulated chips with routers between them, generators and sinks, loaded by hand in the test's own process:
// what a control plane does, spelled out, so that the card's programs can be tested without one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/images.h"
#include "kernels/router_layout.h"
#include "kernels/worker_layout.h"
#include "tests/unit/sim_card.h"
#include "tools/sim/board.h"
#include "tools/sim/grid.h"

namespace warden::kernels::testing {

using sim::Coordinate;

constexpr std::uint8_t kEastChannel = 0;
constexpr std::uint8_t kWestChannel = 4;
constexpr Coordinate kGeneratorTile{1, 1};
constexpr Coordinate kSinkTile{2, 2};

constexpr std::uint32_t tile_of(Coordinate tile) { return tile_word(tile.x, tile.y); }

class Row {
 public:
  // Links are up and nothing is loaded. `latching`: how long transmit queues are busy with a packet.
  explicit Row(unsigned chips, std::chrono::microseconds latching = {});

  [[nodiscard]] unsigned chips() const { return static_cast<unsigned>(cards_.size()); }
  [[nodiscard]] std::uint32_t word(unsigned chip, Coordinate tile, std::uint64_t address);
  void set(unsigned chip, Coordinate tile, std::uint64_t address, std::uint32_t value);
  void read_bytes(unsigned chip, Coordinate tile, std::uint64_t address, std::span<std::byte> into);
  void set_bytes(unsigned chip, Coordinate tile, std::uint64_t address, std::span<const std::byte> bytes);
  template <typename Value>
  [[nodiscard]] Value read(unsigned chip, Coordinate tile, std::uint64_t address) {
    Value value{};
    read_bytes(chip, tile, address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <typename Value>
  void write(unsigned chip, Coordinate tile, std::uint64_t address, const Value& value) {
    set_bytes(chip, tile, address, std::as_bytes(std::span(&value, 1)));
  }

  // Lets everything run, time passing.
  void run(std::chrono::nanoseconds time);
  // Until it is so; false when it never is.
  [[nodiscard]] bool run_until(const std::function<bool()>& so);
  // A reset of the whole chip, and its links up again.
  void reset(unsigned chip);
  // The cable between this chip and the next.
  void set_plugged(unsigned chip, bool plugged);
  // A core that gets no turns, and gets them again.
  [[nodiscard]] bool freeze(unsigned chip, Coordinate tile) { return cards_[chip]->chip.freeze_core(tile); }
  [[nodiscard]] bool thaw(unsigned chip, Coordinate tile) { return cards_[chip]->chip.thaw_core(tile); }
  // Every core waits for something to be written, or sleeps. Some time has to pass before it does.
  [[nodiscard]] bool all_sleep();

  // Holds the core, clears its block, writes the image; it does not run yet.
  void load(unsigned chip, Coordinate tile, const Image& image, std::uint32_t block, std::size_t block_bytes);
  void let_go(unsigned chip, Coordinate tile);

 private:
  void step();

  std::vector<std::unique_ptr<sim::testing::Card>> cards_;
  std::vector<std::shared_ptr<sim::EthernetLink>> links_;
};

// One router; nothing is cached.
class Router {
 public:
  Router(Row& row, unsigned chip, std::uint8_t channel);
  [[nodiscard]] Coordinate tile() const { return tile_; }
  [[nodiscard]] unsigned chip() const { return chip_; }
  [[nodiscard]] std::uint32_t field(std::size_t offset) { return row_->word(chip_, tile_, kRouterBlock + offset); }
  void set_field(std::size_t offset, std::uint32_t value) { row_->set(chip_, tile_, kRouterBlock + offset, value); }
  [[nodiscard]] RouterBlock block() { return row_->read<RouterBlock>(chip_, tile_, kRouterBlock); }

  // Loaded, its tables those of a row, and let go.
  void start(std::uint32_t session, RouterCommand command, const Image& image = router_image());
  void command(RouterCommand command);
  [[nodiscard]] RouterState state() { return static_cast<RouterState>(field(offsetof(RouterBlock, state.state))); }
  // Commands it, and waits for the state that follows.
  [[nodiscard]] bool follows(RouterCommand command, RouterState state);
  [[nodiscard]] bool answers_probe();

  void open_lane(unsigned lane, LaneKind kind, Coordinate credit_tile, std::uint32_t credit_address);
  void open_delivery(unsigned index, Coordinate tile, unsigned ring);
  void close_delivery(unsigned index) {
    set_field(offsetof(RouterBlock, deliveries) + index * sizeof(DeliveryBlock), 0);
  }
  void forward(unsigned node, std::uint32_t where) { set_field(offsetof(RouterBlock, forward) + 4 * node, where); }
  void admit(unsigned node, std::uint32_t how) { set_field(offsetof(RouterBlock, admit) + 4 * node, how); }

 private:
  Row* row_;
  unsigned chip_;
  std::uint8_t channel_;
  Coordinate tile_;
};

constexpr std::uint32_t kTeardownMailbox = 0x90000;
constexpr std::uint32_t kSourceBuffer = 0xA0000;
constexpr unsigned kRouterLane = 0;  // of every router: from the other one of its chip
constexpr unsigned kWorkerLane = 1;

// All are to be in this state soon after the command.
[[nodiscard]] bool all_follow(Row& row, std::vector<Router> routers, RouterCommand command, RouterState state);

struct Flow {
  unsigned destination = 0;
  std::uint32_t packets = 0;
  std::uint32_t payload_bytes = 64;
  std::uint32_t interval_cycles = 0;
  Coordinate sink = kSinkTile;
  unsigned lane = kWorkerLane;
};

class Generator {
 public:
  // Begins to send through this router.
  Generator(Row& row, Router first, const Flow& flow, Coordinate tile = kGeneratorTile);
  [[nodiscard]] GeneratorBlock block() { return row_->read<GeneratorBlock>(chip_, tile_, kWorkerBlock); }
  [[nodiscard]] WorkerStatus status() { return block().header.status; }
  [[nodiscard]] std::uint32_t flow() const { return flow_; }
  void tear_down() { row_->set(chip_, tile_, kTeardownMailbox, kWorkerTeardown); }
  // From the beginning, with other arguments.
  void restart(GeneratorBlock block);

 private:
  Row* row_;
  unsigned chip_;
  Coordinate tile_;
  std::uint32_t flow_;
};

class Sink {
 public:
  // Begins to take what the routers of its chip deliver; opens their deliveries [0].
  Sink(Row& row, unsigned chip, std::vector<Router> routers, Coordinate tile = kSinkTile);
  [[nodiscard]] SinkBlock block() { return row_->read<SinkBlock>(chip_, tile_, kWorkerBlock); }
  [[nodiscard]] SinkFlow flow(std::uint32_t flow);
  // So many of this flow have arrived, in order, unchanged, and no other.
  [[nodiscard]] bool has_all(const Generator& generator, std::uint32_t packets);
  void tear_down() { row_->set(chip_, tile_, kTeardownMailbox, kWorkerTeardown); }

 private:
  Row* row_;
  unsigned chip_;
  Coordinate tile_;
};

}  // namespace warden::kernels::testing
