// SPDX-License-Identifier: Apache-2.0
// Cores that write to the host's memory by themselves: into their session's buffer while it lives, nowhere afterwards.
#include <fcntl.h>
#include <sys/mman.h>
#include <warden/dma_buffer.h>

#include <atomic>
#include <initializer_list>

#include "tests/e2e/broker_host.h"
#include "tests/fault/death_victim.h"
#include "tests/support/rv32_assembler.h"

namespace warden::test {
namespace {

using namespace rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics

constexpr CardAddress kCounter{0x300};
constexpr std::size_t kBufferBytes = 4096;

// Counts at kCounter of kWorkTile, for ever, and sends each number over NoC #0 to the host's `address`, which begins a
// page. The registers are those of the tile's first request initiator.
std::vector<Word> counting_to_host(std::uint64_t address) {
  constexpr Word kRegisters = 0xFFB20000;
  constexpr Word kHere = 1 << 4 | 1 << 10;       // (1,1)
  constexpr Word kHostBelow4K = 0x1000 - 0xC00;  // (0,3) is 3 << 10, which is no immediate by itself
  const auto address_high = static_cast<std::int32_t>(address >> 32);
  return {lui(7, kRegisters),
          addi(5, 0, kCounter.value),
          sw(5, 7, 0x00),  // from
          addi(5, 0, kHere),
          sw(5, 7, 0x04),  //
          lui(5, static_cast<Word>(address)),
          sw(5, 7, 0x0C),  // to
          lui(5, 0x1000),
          addi(5, 5, address_high - static_cast<std::int32_t>(kHostBelow4K)),  //
          sw(5, 7, 0x10),                                                      //
          addi(5, 0, 0x12),
          sw(5, 7, 0x1C),
          addi(5, 0, 4),
          sw(5, 7, 0x20),
          addi(8, 0, 1),  // a write, 4 bytes
          lw(5, 0, kCounter.value),
          addi(5, 5, 1),
          sw(5, 0, kCounter.value),  // count,
          sw(8, 7, 0x28),
          lw(6, 7, 0x28),
          bne(6, 0, -4),
          jal(0, -24)};  // send, wait, again
}

// The one DMA memory that the simulator has, as only a test may look at it.
class DmaOf {
 public:
  explicit DmaOf(int pid) {
    const std::string fds = "/proc/" + std::to_string(pid) + "/fd";
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(fds, error)) {
      if (!std::filesystem::read_symlink(entry.path(), error).string().starts_with("/memfd:warden-dma")) continue;
      const UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
      memory_ = ::mmap(nullptr, kBufferBytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    }
  }
  DmaOf(const DmaOf&) = delete;
  DmaOf& operator=(const DmaOf&) = delete;
  ~DmaOf() { ::munmap(memory_, kBufferBytes); }
  [[nodiscard]] bool is_there() const { return memory_ != MAP_FAILED; }
  [[nodiscard]] std::uint32_t word() const { return *static_cast<const volatile std::uint32_t*>(memory_); }

 private:
  void* memory_ = MAP_FAILED;
};

class CoreThatWritesToTheHost : public ::testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] std::uint32_t counter() const { return word_at(onlooker_, kCounter.value); }

  Stack stack_;
  std::shared_ptr<Session> onlooker_ = stack_.attach("onlooker");
};
INSTANTIATE_TEST_SUITE_P(ThatIs, CoreThatWritesToTheHost, ::testing::Bool(),
                         [](const auto& named) { return named.param ? "Named" : "NotNamed"; });

// Proves that the card writes into its session's memory without anybody's help, and that this is over when the session
// is: a core that the session named for its death stands still; one that it did not name runs on and reaches nothing.
TEST_P(CoreThatWritesToTheHost, ReachesItUntilItsSessionEnds) {
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    if (!mine.open(stack_.socket_path())) return false;
    static auto buffer = DmaBuffer::map(*mine.device, kBufferBytes);
    if (!buffer) return false;
    const std::vector<Word> program = counting_to_host(buffer->address().value);
    return mine.device->write32(kWorkTile, kSoftResetRegister, kAllHeld).has_value() &&
           mine.device->write(kWorkTile, {0}, std::as_bytes(std::span(program))).has_value() &&
           (!GetParam() || mine.actions->reset_cores(*mine.device, kWorkTile, kBrisc).has_value()) &&
           mine.device->write32(kWorkTile, kSoftResetRegister, kBriscRuns).has_value() &&
           eventually([&] { return *reinterpret_cast<volatile std::uint32_t*>(buffer->bytes().data()) > 100; });
  });
  ASSERT_TRUE(victim.is_ready()) << counter();
  const DmaOf memory(stack_.simulator_process().pid());
  ASSERT_TRUE(memory.is_there());
  const std::uint32_t first = memory.word();
  ASSERT_TRUE(eventually([&] { return memory.word() != first; }));
  const pid_t pid = victim.pid();
  victim.kill();
  ASSERT_TRUE(is_freed(*onlooker_, pid));
  EXPECT_EQ(dma_descriptors(stack_.simulator_process().pid()), 0U);
  const std::uint32_t last = memory.word();
  for (int look = 0; look < 20; ++look) {
    const std::uint32_t counted = counter();
    if (GetParam()) {
      EXPECT_EQ(counter(), counted) << "its core runs";
    } else {
      EXPECT_TRUE(eventually([&] { return counter() != counted; })) << "nothing would write any more";
    }
    ASSERT_EQ(memory.word(), last);
  }
  EXPECT_EQ(word_at(onlooker_, kSoftResetRegister.value), GetParam() ? kAllHeld : kBriscRuns);
}

}  // namespace
}  // namespace warden::test
