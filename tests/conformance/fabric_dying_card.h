// SPDX-License-Identifier: Apache-2.0
// A card whose process dies, as by SIGKILL, at a chosen write: so that every point of a procedure is tried, not only
// those that a clock happens to hit.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "driver/fabric/card.h"
#include "driver/fabric/control_plane.h"
#include "tests/conformance/fabric_mesh.h"

namespace warden::fabric::testing {

// Of all cards together: the process dies instead of the write after so many.
class WritesToLive {
 public:
  static constexpr std::uint64_t kForEver = ~std::uint64_t{0};
  void set(std::uint64_t writes) { left_ = writes; }
  void use_one() {
    if (left_ == 0) ::kill(::getpid(), SIGKILL);
    if (left_ != kForEver) --left_;
  }

 private:
  std::uint64_t left_ = kForEver;
};

class DyingCard final : public Card {
 public:
  DyingCard(chip::Chip& chip, WritesToLive& life) : card_(chip), life_(&life) {}
  [[nodiscard]] const std::string& name() const noexcept override { return card_.name(); }
  [[nodiscard]] const std::vector<std::uint8_t>& harvested_rows() const noexcept override {
    return card_.harvested_rows();
  }
  [[nodiscard]] Status read(Tile tile, CardAddress address, std::span<std::byte> into) override {
    return card_.read(tile, address, into);
  }
  [[nodiscard]] Result<std::uint32_t> read32(Tile tile, CardAddress address) override {
    return card_.read32(tile, address);
  }
  [[nodiscard]] Status write(Tile tile, CardAddress address, std::span<const std::byte> from) override {
    life_->use_one();
    return card_.write(tile, address, from);
  }
  [[nodiscard]] Status write32(Tile tile, CardAddress address, std::uint32_t value) override {
    life_->use_one();
    return card_.write32(tile, address, value);
  }
  [[nodiscard]] Status renew() override { return card_.renew(); }

 private:
  ChipCard card_;
  WritesToLive* life_;
};

[[nodiscard]] inline std::unique_ptr<ControlPlane> dying_control_plane(const Chips& chips, WritesToLive& life) {
  std::vector<std::unique_ptr<Card>> cards;
  for (const auto& chip : chips) cards.push_back(std::make_unique<DyingCard>(*chip, life));
  return std::make_unique<ControlPlane>(std::move(cards));
}

// Runs the procedure, which does not return, in a process of its own. Whether it was killed; else it came to its end.
template <typename Procedure>
[[nodiscard]] bool dies_in(Procedure&& procedure) {
  const pid_t child = ::fork();
  if (child == 0) procedure();
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) {
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    return true;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
  return false;
}

}  // namespace warden::fabric::testing
