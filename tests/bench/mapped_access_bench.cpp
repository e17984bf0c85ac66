// SPDX-License-Identifier: Apache-2.0
// What the driver adds to a load, a store and a copy on mapped memory. The memory is ordinary, so that nothing but the
// instructions counts; on a card the bus takes far longer than either.
#include <sys/mman.h>

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <warden/unique_fd.h>

#include "driver/chip/block_copy.h"
#include "driver/vfio/device.h"
#include "tests/bench/benchmarks.h"

namespace warden::bench {

namespace {

constexpr std::size_t kBytes = 1024 * 1024;  // the smallest window of a Wormhole
constexpr std::size_t kWords = 16 * 1024;    // few enough to stay in the cache, so that instructions count
constexpr int kPasses = 16;

// Keeps the compiler from dropping or moving what made `value`.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "g"(value) : "memory");
}

Result<vfio::Mapping> shared_memory() {
  const UniqueFd memory(::memfd_create("bench-bar", MFD_CLOEXEC));
  if (!memory || ::ftruncate(memory.get(), kBytes) != 0) return fail_errno("make a memfd", errno);
  void* base = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory.get(), 0);
  if (base == MAP_FAILED) return fail_errno("map a memfd", errno);
  return vfio::Mapping(base, kBytes);
}

// Never inlined, so that each loop is compiled for itself.
[[gnu::noinline]] void driver_reads(const vfio::Mapping& mapping) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kWords; ++i) sum += mapping.read32(i * sizeof(std::uint32_t));
  keep(sum);
}
[[gnu::noinline]] void plain_reads(const vfio::Mapping& mapping) {
  const auto* words = static_cast<const volatile std::uint32_t*>(mapping.base());
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kWords; ++i) sum += words[i];
  keep(sum);
}
[[gnu::noinline]] void driver_writes(const vfio::Mapping& mapping) {
  for (std::size_t i = 0; i < kWords; ++i) {
    mapping.write32(i * sizeof(std::uint32_t), static_cast<std::uint32_t>(i));
  }
}
[[gnu::noinline]] void plain_writes(const vfio::Mapping& mapping) {
  auto* words = static_cast<volatile std::uint32_t*>(mapping.base());
  for (std::size_t i = 0; i < kWords; ++i) words[i] = static_cast<std::uint32_t>(i);
}

template <typename Work>
double ns_of(const Work& work) {
  const std::uint64_t begin_ns = now_ns();
  for (int pass = 0; pass < kPasses; ++pass) work();
  return static_cast<double>(now_ns() - begin_ns) / kPasses;
}

struct Pair {
  double subject_ns = 0;
  double baseline_ns = 0;
};

// In turns; who goes first changes each round.
template <typename Subject, typename Baseline>
Pair compare(int rounds, const Subject& subject, const Baseline& baseline) {
  std::vector<double> subjects;
  std::vector<double> baselines;
  for (int round = 0; round < rounds; ++round) {
    if (round % 2 == 0) subjects.push_back(ns_of(subject));
    baselines.push_back(ns_of(baseline));
    if (round % 2 != 0) subjects.push_back(ns_of(subject));
  }
  return {median(subjects), median(baselines)};
}

Entry per_access(const std::string& name, const Pair& pair) {
  return {name, pair.subject_ns / kWords, "ns", "volatile access", pair.baseline_ns / kWords, "<= 1.05"};
}
Entry throughput(const std::string& name, std::size_t len_bytes, const Pair& pair) {
  const auto bytes = static_cast<double>(len_bytes);
  return {name + "/" + std::to_string(len_bytes / 1024) + "KiB",
          bytes / pair.subject_ns,
          "GB/s",
          "memcpy",
          bytes / pair.baseline_ns,
          ">= 0.95"};
}

Pair compare_to_card(int rounds, const vfio::Mapping& card, std::span<const std::byte> host) {
  return compare(
      rounds,
      [&] {
        chip::copy_to_card(card.base(), host);
        keep(card.base());
      },
      [&] {
        std::memcpy(card.base(), host.data(), host.size());
        keep(card.base());
      });
}

Pair compare_from_card(int rounds, std::span<std::byte> host, const vfio::Mapping& card) {
  return compare(
      rounds,
      [&] {
        chip::copy_from_card(host, card.base());
        keep(host.data());
      },
      [&] {
        std::memcpy(host.data(), card.base(), host.size());
        keep(host.data());
      });
}

}  // namespace

Result<Entries> bench_mapped_access(const Options& options) {
  auto made = shared_memory();
  if (!made) return std::unexpected(std::move(made).error());
  const vfio::Mapping& card = *made;
  std::vector<std::byte> host(kBytes, std::byte{0x5a});
  const int rounds = options.quick ? 3 : 201;

  const Pair reads = compare(rounds, [&] { driver_reads(card); }, [&] { plain_reads(card); });
  const Pair writes = compare(rounds, [&] { driver_writes(card); }, [&] { plain_writes(card); });
  Entries entries{per_access("mapped/read32", reads), per_access("mapped/write32", writes)};
  for (const std::size_t len_bytes : {std::size_t{64} * 1024, kBytes}) {
    const std::span piece = std::span(host).first(len_bytes);
    entries.push_back(throughput("mapped/copy_to_card", len_bytes, compare_to_card(rounds, card, piece)));
    entries.push_back(throughput("mapped/copy_from_card", len_bytes, compare_from_card(rounds, piece, card)));
  }
  return entries;
}

}  // namespace warden::bench
