// SPDX-License-Identifier: Apache-2.0
// Chips in a row, loading their cores, and letting time pass.
#include "tests/unit/kernels_fabric.h"

#include <algorithm>

namespace warden::kernels::testing {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::uint64_t kSoftReset = 0xFFB121B0;
constexpr milliseconds kTraining{50};
constexpr milliseconds kReset{200};
constexpr microseconds kStep{20};

sim::BoardOptions board_of(unsigned chips) {
  sim::BoardOptions options;
  options.board = {.kind = "mesh", .rows = 1, .columns = chips};
  return options;
}

bool is_tensix(Coordinate tile) { return sim::kind_of(tile) == sim::TileKind::kTensix; }

}  // namespace

// ---- a row ----

Row::Row(unsigned chips, std::chrono::microseconds latching) {
  for (unsigned i = 0; i < chips; ++i) {
    cards_.push_back(std::make_unique<sim::testing::Card>());
    cards_.back()->config_write(sim::testing::kCommand, 0x6);
  }
  const sim::BoardOptions options = board_of(chips);
  for (const sim::Cable& cable : sim::cables_of(options)) {
    links_.push_back(std::make_shared<sim::EthernetLink>(kTraining, latching));
    for (unsigned end : {0U, 1U}) {
      cards_[cable.ends[end].chip]->chip.connect(cable.ends[end].channel, {links_.back(), end},
                                                 sim::link_identity(options, cable, end));
    }
  }
  run(kTraining);
}

std::uint32_t Row::word(unsigned chip, Coordinate tile, std::uint64_t address) {
  return read<std::uint32_t>(chip, tile, address);
}

void Row::set(unsigned chip, Coordinate tile, std::uint64_t address, std::uint32_t value) {
  write(chip, tile, address, value);
}

void Row::set_bytes(unsigned chip, Coordinate tile, std::uint64_t address, std::span<const std::byte> bytes) {
  sim::testing::Card& card = *cards_[chip];
  card.chip.write_bar(0, card.aim_at(tile.x, tile.y, address), bytes);
}

void Row::read_bytes(unsigned chip, Coordinate tile, std::uint64_t address, std::span<std::byte> into) {
  sim::testing::Card& card = *cards_[chip];
  card.chip.read_bar(0, card.aim_at(tile.x, tile.y, address), into);
}

// All chips once; then time passes, to when something happens next.
void Row::step() {
  sim::TimePoint now = cards_.front()->now;
  sim::TimePoint next = sim::TimePoint::max();
  for (const auto& card : cards_) {
    card->rung = 0;
    next = std::min(next, card->chip.run_cores(20'000).value_or(next));
  }
  const bool rung = std::ranges::any_of(cards_, [](const auto& card) { return card->rung != 0; });
  now = rung ? now + kStep : std::clamp(next, now + kStep, now + milliseconds(5));
  for (const auto& card : cards_) card->now = now;
}

void Row::run(std::chrono::nanoseconds time) {
  const sim::TimePoint end = cards_.front()->now + time;
  while (cards_.front()->now < end) step();
  step();
}

bool Row::run_until(const std::function<bool()>& so) {
  for (int i = 0; i < 200'000; ++i) {
    if (so()) return true;
    step();
  }
  return false;
}

bool Row::all_sleep() {
  run(milliseconds(1));
  return std::ranges::all_of(cards_, [](const auto& card) {
    return card->chip.run_cores(20'000).value_or(sim::TimePoint::max()) > card->now;
  });
}

void Row::reset(unsigned chip) {
  cards_[chip]->message(0x56, 0);
  run(kReset + milliseconds(1));
  cards_[chip]->config_write(sim::testing::kCommand, 0x6);
  run(kTraining + milliseconds(1));
}

void Row::set_plugged(unsigned chip, bool plugged) { (void)cards_[chip]->chip.set_plugged(kEastChannel, plugged); }

void Row::load(unsigned chip, Coordinate tile, const Image& image, std::uint32_t block, std::size_t block_bytes) {
  set(chip, tile, kSoftReset, is_tensix(tile) ? 0x47800 : 0x800);
  set_bytes(chip, tile, block, std::vector<std::byte>(block_bytes));
  for (const Segment& segment : image.segments) set_bytes(chip, tile, segment.address, segment.bytes);
}

void Row::let_go(unsigned chip, Coordinate tile) { set(chip, tile, kSoftReset, is_tensix(tile) ? 0x47000 : 0); }

// ---- a router ----

Router::Router(Row& row, unsigned chip, std::uint8_t channel)
    : row_(&row), chip_(chip), channel_(channel), tile_(sim::ethernet_tile(channel)) {}

void Router::start(std::uint32_t session, RouterCommand command, const Image& image) {
  row_->load(chip_, tile_, image, kRouterBlock, sizeof(RouterBlock));
  const bool east = channel_ == kEastChannel;
  const Coordinate other = sim::ethernet_tile(east ? kWestChannel : kEastChannel);
  RouterBlock block{};
  block.configuration.node = static_cast<std::uint16_t>(chip_);
  block.configuration.channel = channel_;
  block.configuration.direction = static_cast<std::uint8_t>(east ? Direction::kEast : Direction::kWest);
  block.configuration.link_session = session;
  block.state.command = command;
  for (unsigned node = 0; node < kNodesMax; ++node) {
    const bool onward = east ? node < chip_ : node > chip_ && node < row_->chips();
    block.forward[node] = node == chip_ ? kForwardLocal : onward ? 0 : kForwardNowhere;
  }
  block.ports[0].tile = tile_of(other);
  block.ports[0].lane = kRouterLane;
  row_->write(chip_, tile_, kRouterBlock, block);
  open_lane(kRouterLane, LaneKind::kRouter, other, kRouterBlock + offsetof(RouterBlock, ports[0].consumed));
  row_->let_go(chip_, tile_);
}

void Router::command(RouterCommand command) {
  set_field(offsetof(RouterBlock, state.command), static_cast<std::uint32_t>(command));
}

bool Router::follows(RouterCommand command, RouterState state) {
  this->command(command);
  return row_->run_until([&] { return this->state() == state; });
}

bool Router::answers_probe() {
  const std::uint32_t probe = field(offsetof(RouterBlock, probe)) + 1;
  set_field(offsetof(RouterBlock, probe), probe);
  return row_->run_until([&] { return field(offsetof(RouterBlock, counters.probe_answer)) == probe; });
}

void Router::open_lane(unsigned lane, LaneKind kind, Coordinate credit_tile, std::uint32_t credit_address) {
  const std::size_t at = offsetof(RouterBlock, lanes) + lane * sizeof(LaneBlock);
  set_field(at + offsetof(LaneBlock, credit_tile), tile_of(credit_tile));
  set_field(at + offsetof(LaneBlock, credit_address), credit_address);
  set_field(at + offsetof(LaneBlock, kind), static_cast<std::uint32_t>(kind));
}

void Router::open_delivery(unsigned index, Coordinate tile, unsigned ring) {
  const std::size_t at = offsetof(RouterBlock, deliveries) + index * sizeof(DeliveryBlock);
  set_field(at + offsetof(DeliveryBlock, produced), 0);
  set_field(at + offsetof(DeliveryBlock, consumed), 0);
  set_field(at + offsetof(DeliveryBlock, ring),
            static_cast<std::uint32_t>(kWorkerBlock + offsetof(SinkBlock, rings) + ring * sizeof(SinkRing)));
  set_field(at + offsetof(DeliveryBlock, tile), tile_of(tile));
}

bool all_follow(Row& row, std::vector<Router> routers, RouterCommand command, RouterState state) {
  for (Router& router : routers) router.command(command);
  return row.run_until(
      [&] { return std::ranges::all_of(routers, [&](Router& router) { return router.state() == state; }); });
}

// ---- workers ----

Generator::Generator(Row& row, Router first, const Flow& flow, Coordinate tile)
    : row_(&row), chip_(first.chip()), tile_(tile), flow_(chip_ << 16 | tile_of(tile)) {
  row.load(chip_, tile, generator_image(), kWorkerBlock, sizeof(GeneratorBlock));
  row.set(chip_, tile, kTeardownMailbox, kWorkerKeepRunning);
  GeneratorBlock block{};
  block.header.teardown_address = kTeardownMailbox;
  const std::uint32_t count = first.field(offsetof(RouterBlock, lanes) + flow.lane * sizeof(LaneBlock));
  block.credit = count;
  block.arguments = {.router_tile = tile_of(first.tile()),
                     .lane = flow.lane,
                     .lane_count = count,
                     .source_node = static_cast<std::uint16_t>(chip_),
                     .destination_node = static_cast<std::uint16_t>(flow.destination),
                     .destination_tile = tile_of(flow.sink),
                     .flow = flow_,
                     .first_sequence = 0,
                     .packets = flow.packets,
                     .payload_bytes = flow.payload_bytes,
                     .source_buffer = kSourceBuffer,
                     .interval_cycles = flow.interval_cycles,
                     .reserved = 0};
  row.write(chip_, tile, kWorkerBlock, block);
  first.open_lane(flow.lane, LaneKind::kWorker, tile, kWorkerBlock + offsetof(GeneratorBlock, credit));
  row.let_go(chip_, tile);
}

void Generator::restart(GeneratorBlock block) {
  block.header.magic = 0;
  block.header.status = WorkerStatus::kLoaded;
  block.sent = 0;
  row_->load(chip_, tile_, generator_image(), kWorkerBlock, sizeof(GeneratorBlock));
  row_->write(chip_, tile_, kWorkerBlock, block);
  row_->let_go(chip_, tile_);
}

Sink::Sink(Row& row, unsigned chip, std::vector<Router> routers, Coordinate tile)
    : row_(&row), chip_(chip), tile_(tile) {
  row.load(chip, tile, sink_image(), kWorkerBlock, sizeof(SinkBlock));
  row.set(chip, tile, kTeardownMailbox, kWorkerKeepRunning);
  SinkBlock block{};
  block.header.teardown_address = kTeardownMailbox;
  for (unsigned ring = 0; ring < routers.size(); ++ring) {
    block.rings[ring].credit_tile = tile_of(routers[ring].tile());
    block.rings[ring].credit_address = kRouterBlock + offsetof(RouterBlock, deliveries[0].consumed);
  }
  row.write(chip, tile, kWorkerBlock, block);
  row.let_go(chip, tile);
  for (unsigned ring = 0; ring < routers.size(); ++ring) routers[ring].open_delivery(0, tile, ring);
}

SinkFlow Sink::flow(std::uint32_t flow) {
  const SinkBlock all = block();
  const auto* const found = std::ranges::find(all.flows, flow, &SinkFlow::flow);
  return found == std::end(all.flows) ? SinkFlow{} : *found;
}

bool Sink::has_all(const Generator& generator, std::uint32_t packets) {
  const SinkFlow one = flow(generator.flow());
  return one.received == packets && one.next_sequence == packets && one.out_of_order == 0 && one.corrupt == 0;
}

}  // namespace warden::kernels::testing
