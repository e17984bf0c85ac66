// SPDX-License-Identifier: Apache-2.0
// Cores that write to the host's memory by themselves: into their session's buffer while it lives, nowhere afterwards.
#include <fcntl.h>
#include <sys/mman.h>
#include <warden/dma_buffer.h>

#include <atomic>
#include <initializer_list>

#include "tests/e2e/broker_host.h"
#include "tests/fault/death_victim.h"
#include "tests/support/host_counter.h"

namespace warden::test {
namespace {

constexpr CardAddress kCounter{kHostCounter};
constexpr std::size_t kBufferBytes = 4096;

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
    const std::vector<rv32::Word> program = counting_to_host(buffer->address().value);
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
