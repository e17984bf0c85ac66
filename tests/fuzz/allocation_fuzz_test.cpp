// SPDX-License-Identifier: Apache-2.0
// Random bytes at the allocation server. WARDEN_FUZZ_SECONDS (default 5) and WARDEN_FUZZ_SEED steer it.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "tests/support/allocation_peer.h"

namespace warden::test {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Noise {
 public:
  explicit Noise(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  // Mostly good messages with some bytes changed, in either form, cut anywhere.
  std::string bytes() {
    std::string text;
    const std::size_t form = below(2) != 0 ? 112 : 144;
    for (std::uint64_t i = below(6); i > 0; --i) {
      text += allocation_message({.type = static_cast<std::uint8_t>(below(14)),
                                  .device = static_cast<std::int32_t>(below(4)),
                                  .size = below(1 << 20),
                                  .buffer_type = static_cast<std::uint8_t>(below(9)),
                                  .buffer_id = below(8)},
                                 form);
    }
    if (below(3) == 0) text.resize(below(400));
    for (std::uint64_t i = below(3); i > 0 && !text.empty(); --i) {
      text[below(text.size())] = static_cast<char>(random_());
    }
    return text;
  }

 private:
  std::mt19937_64 random_;
};

// Proves that no bytes disturb the server or others' records: the honest client has what it had and is answered, and
// when the noisy one has died nothing of it is left.
TEST(AllocationFuzz, Bytes) {
  const std::uint64_t seed = number_from("WARDEN_FUZZ_SEED", std::random_device{}());
  SCOPED_TRACE("WARDEN_FUZZ_SEED=" + std::to_string(seed));
  Noise noise(seed);
  AllocationHost host("off");  // nobody reads it
  AllocationPeer honest(host.path(), 144);
  honest.send({.type = kAlloc, .device = 9, .size = 77, .buffer_id = 1});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(number_from("WARDEN_FUZZ_SECONDS", 5));
  while (std::chrono::steady_clock::now() < end) {
    ClientProcess noisy([&] {
      for (std::uint64_t i = noise.below(20) + 1; i > 0; --i) {
        AllocationPeer peer(host.path(), 144);
        for (std::uint64_t piece = noise.below(5); piece > 0; --piece) (void)peer.send_bytes(noise.bytes());
      }
    });
    (void)noise.below(2);  // another child, other noise
    ASSERT_TRUE(noisy.wait_until_done());
    noisy.kill();
    const auto reply = honest.ask({.type = kQuery, .device = 9});
    ASSERT_TRUE(reply) << host.daemon().output();
    ASSERT_EQ(reply->u64(40), 77U);
    const AllocationDump dump = host.dump();
    ASSERT_TRUE(dump.end);
    ASSERT_EQ(dump.end->size(), 1U);
  }
}

}  // namespace
}  // namespace warden::test
