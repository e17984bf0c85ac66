// SPDX-License-Identifier: Apache-2.0
// What a benchmark hands back, and how the figures are printed and kept. A subject and its baseline are measured in
// turns in the same run, so that what disturbs one disturbs the other; the ratio of their medians is the claim.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

namespace warden::bench {

struct Options {
  bool quick = false;  // a few rounds: shows that everything runs, not how fast
};

// One line of the table. What is better, more or less, follows from the unit.
struct Entry {
  std::string name;
  double value = 0;
  std::string unit;
  std::string baseline;  // what was measured beside it
  double baseline_value = 0;
  std::string goal;  // for people: what `ratio` should be
  [[nodiscard]] double ratio() const noexcept { return baseline_value > 0 ? value / baseline_value : 0; }
};
using Entries = std::vector<Entry>;

// The middle of the samples, which get reordered; 0 of none.
[[nodiscard]] double median(std::span<double> samples);
// CLOCK_MONOTONIC, the same in every process.
[[nodiscard]] std::uint64_t now_ns() noexcept;
// Lets the processor go idle between two samples, as it would between two real events.
void gap(std::uint64_t duration_ns) noexcept;

void print_table(const Entries& entries);
// What write_json() wrote; nothing where there is no such file.
[[nodiscard]] Result<Entries> read_json(const std::string& path);
[[nodiscard]] Status write_json(const Entries& entries, const std::string& path);

}  // namespace warden::bench
