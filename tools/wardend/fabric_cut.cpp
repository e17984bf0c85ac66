// SPDX-License-Identifier: Apache-2.0
// From cards of a reset to chips of a fabric, and from what became of the cut to the reset's record.
#include "tools/wardend/fabric_cut.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <span>
#include <utility>

#include "tools/wardend/thread_card.h"

namespace warden::daemon {

namespace {

void add_complaint(FabricRecord& record, const std::string& complaint) {
  spdlog::warn("fabric: {}", complaint);
  record.complaint += (record.complaint.empty() ? "" : "; ") + complaint;
}

void add_all(FabricRecord& record, const fabric::CutReport& report) {
  record.routers_paused = static_cast<std::uint32_t>(report.facing.size() - report.not_paused.size());
  record.routes_held = report.held_pairs;
  record.packets_delayed = report.delayed_packets;
  record.packets_lost = report.lost_packets;
}

// Of those that came after the first `told`.
void complain_of_remarks(FabricRecord& record, const fabric::CutReport& report, std::size_t told = 0) {
  for (const std::string& remark : std::span(report.remarks).subspan(told)) add_complaint(record, remark);
}

void complain_of_preparation(FabricRecord& record, const fabric::CutReport& report) {
  complain_of_remarks(record, report);
  for (const fabric::Straggler& router : report.not_paused) {
    add_complaint(record, "not paused: " + to_string(router));
  }
  std::uint64_t inside = 0;
  for (const fabric::PairAccount& pair : report.undrained) inside += pair.inside();
  if (inside != 0) add_complaint(record, fmt::format("{} packets could not be let out in time", inside));
}

void complain_of_return(FabricRecord& record, const fabric::CutReport& report) {
  if (report.doubled_packets != 0) {
    add_complaint(record, fmt::format("{} packets may come twice", report.doubled_packets));
  }
}

}  // namespace

// kNotFound: none of the cards has to do with a fabric.
Result<std::unique_ptr<FabricCut::Cutting>> FabricCut::attach(std::span<const ResetDevice> devices) const {
  std::vector<std::unique_ptr<fabric::Card>> cards;
  for (std::uint32_t index = 0; index < devices_.count(); ++index) {
    cards.push_back(std::make_unique<ThreadCard>(devices_.at(index)));
  }
  auto cutting = std::make_unique<Cutting>(fabric::ControlPlane(std::move(cards)), std::nullopt);
  if (Status attached = cutting->fabric.attach(); !attached) return std::unexpected(std::move(attached).error());
  for (const std::string& remark : cutting->fabric.remarks()) spdlog::info("fabric: {}", remark);
  std::vector<fabric::FabricNodeId> chips;
  for (const ResetDevice& device : devices) {
    const auto found = fabric::devices_of_cards(cutting->fabric, {device.name});
    if (found) chips.insert(chips.end(), found->begin(), found->end());
  }
  if (chips.empty()) return fail(Code::kNotFound, "no routers run on these cards or towards them");
  cutting->cut.emplace(cutting->fabric, std::move(chips));
  return cutting;
}

std::optional<FabricRecord> FabricCut::prepare(std::span<const ResetDevice> devices) {
  cutting_.reset();
  auto cutting = attach(devices);
  if (!cutting && cutting.error().code == Code::kNotFound) return std::nullopt;
  FabricRecord record;
  if (!cutting) {
    add_complaint(record, cutting.error().message);
    return record;
  }
  cutting_ = std::move(*cutting);
  if (Status prepared = cutting_->cut->prepare(); !prepared) add_complaint(record, prepared.error().message);
  add_all(record, cutting_->cut->report());
  complain_of_preparation(record, cutting_->cut->report());
  spdlog::info("fabric: {} routers paused towards the cards, {} routes held", record.routers_paused,
               record.routes_held);
  return record;
}

Status FabricCut::restore_cut(std::span<const ResetDevice> devices, FabricRecord& record) {
  const bool prepared_here = cutting_ != nullptr;
  if (!prepared_here) {
    auto cutting = attach(devices);
    if (!cutting) return std::unexpected(std::move(cutting).error());
    cutting_ = std::move(*cutting);
  }
  const fabric::CutReport& report = cutting_->cut->report();
  const std::size_t told = report.remarks.size();
  Status restored = cutting_->cut->restore();
  // Who takes over keeps what the dead worker had counted before the reset.
  if (prepared_here) add_all(record, report);
  record.packets_lost = report.lost_packets;
  complain_of_remarks(record, report, told);
  complain_of_return(record, report);
  if (restored && !report.not_restored.empty()) restored = fail(Code::kFailed, "not all routers came back");
  return restored;
}

void FabricCut::restore(std::span<const ResetDevice> devices, FabricRecord& record) {
  const Status restored = restore_cut(devices, record);
  record.restored = restored.has_value();
  if (!restored) add_complaint(record, restored.error().message);
  cutting_.reset();
  spdlog::info("fabric: {}, {} packets lost", record.restored ? "traffic goes on" : "not restored",
               record.packets_lost);
}

void FabricCut::undo(std::span<const ResetDevice> devices, FabricRecord& record) {
  if (!cutting_) {
    auto cutting = attach(devices);
    if (!cutting) return add_complaint(record, cutting.error().message);
    cutting_ = std::move(*cutting);
  }
  const Status abandoned = cutting_->cut->abandon();
  record.restored = abandoned.has_value();
  if (!abandoned) add_complaint(record, abandoned.error().message);
  cutting_.reset();
}

}  // namespace warden::daemon
