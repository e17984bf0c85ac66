// SPDX-License-Identifier: Apache-2.0
// Who holds a card, and what becomes of it when that process is killed: a second one is refused, the next one can open
// it at once, and one that was given the descriptors goes on where the first had stopped.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "tests/vm/kernel_card.h"

namespace warden::vm {
namespace {

using ::testing::HasSubstr;
using vfio::DmaAccess;
using vfio::Iova;

constexpr std::uint64_t kPage = 4096;
constexpr Iova kHere{0x10'0000};

// A process that does this and then waits to be killed.
class Holder {
 public:
  explicit Holder(const std::function<void(int)>& act) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair");
    pid_ = ::fork();
    if (pid_ == 0) {
      try {
        act(ends[1]);
      } catch (const std::exception& error) {
        (void)!::write(STDERR_FILENO, error.what(), std::strlen(error.what()));
        ::_exit(1);
      }
      for (;;) ::pause();
    }
    ::close(ends[1]);
    line_.reset(ends[0]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { kill(); }

  // Over when it is gone.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  [[nodiscard]] int line() const noexcept { return line_.get(); }
  [[nodiscard]] bool is_ready() const {
    char letter = 0;
    return ::recv(line_.get(), &letter, 1, 0) == 1;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd line_;
};

void say_ready(int line) { (void)!::send(line, "r", 1, MSG_NOSIGNAL); }

void send_fds(int line, const std::vector<int>& fds) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
  char letter = 'r';
  iovec part{&letter, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  if (::sendmsg(line, &message, MSG_NOSIGNAL) != 1) throw std::runtime_error("sendmsg");
}

std::vector<UniqueFd> receive_fds(int line) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
  char letter = 0;
  iovec part{&letter, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(line, &message, MSG_CMSG_CLOEXEC) != 1) throw std::runtime_error("the holder sent nothing");
  std::vector<UniqueFd> fds;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  for (std::size_t at = CMSG_LEN(0); header != nullptr && at < header->cmsg_len; at += sizeof(int)) {
    int fd = -1;
    std::memcpy(&fd, reinterpret_cast<const char*>(header) + at, sizeof(int));
    fds.emplace_back(fd);
  }
  return fds;
}

class KernelHolder : public ::testing::TestWithParam<KernelInterface> {};
INSTANTIATE_TEST_SUITE_P(By, KernelHolder, ::testing::ValuesIn(interfaces()), name_of);

// Proves that a card, and any other of its group, is refused to a second process with one line, and to the same process
// as well; and given to it as soon as the first is dead.
TEST_P(KernelHolder, IsAlone) {
  Holder holder([&](int line) {
    const Edu edu("WARDEN_VM_PAIR0", GetParam());
    say_ready(line);
    for (;;) ::pause();
  });
  ASSERT_TRUE(holder.is_ready());
  for (const char* card : {"WARDEN_VM_PAIR0", "WARDEN_VM_PAIR1"}) {
    const auto second = vfio::open(address_of(card), {.kernel_interface = GetParam()});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kBusy);
    EXPECT_THAT(second.error().message, HasSubstr("open in another process"));
  }
  holder.kill();
  const Edu mine("WARDEN_VM_PAIR0", GetParam());
  const auto again = vfio::open(address_of("WARDEN_VM_PAIR0"), {.kernel_interface = GetParam()});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kBusy);
}

// Proves that a group in which another driver works is refused with its name, and that nothing else stood in the way.
// (A kernel without a driver for the serial port has nothing to show.)
TEST_P(KernelHolder, IsNoUserOfASharedGroup) {
  if (::access("/sys/bus/pci/drivers/serial", F_OK) != 0) return;
  const std::string other = address_of("WARDEN_VM_SERIAL");
  const auto bind_to = [&](const char* driver) {
    const std::string folder = "/sys/bus/pci/devices/" + other;
    std::ofstream(folder + "/driver/unbind") << other;
    std::ofstream(folder + "/driver_override") << driver;
    std::ofstream("/sys/bus/pci/drivers_probe") << other;
    ASSERT_EQ(std::filesystem::read_symlink(folder + "/driver").filename(), driver);
  };
  bind_to("serial");
  const auto refused = vfio::open(address_of("WARDEN_VM_PAIR0"), {.kernel_interface = GetParam()});
  bind_to("vfio-pci");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kBusy);
  EXPECT_THAT(refused.error().message, HasSubstr("is shared with " + other + " (driver serial)"));
  const auto mine = vfio::open(address_of("WARDEN_VM_PAIR0"), {.kernel_interface = GetParam()});
  EXPECT_TRUE(mine) << mine.error().message;
}

// Proves that whoever is killed with a card in its hands, at whatever moment, leaves it ready to be opened at once.
TEST_P(KernelHolder, LeavesTheCardBehind) {
  std::mt19937 random(1);
  int got_far = 0;
  for (int round = 0; round < 25; ++round) {
    Holder holder([&](int line) {
      for (;;) {
        Edu edu("WARDEN_VM_EDU", GetParam());
        const SharedMemory memory(16 * kPage);
        succeed(edu.device().dma_map(kHere, 16 * kPage, memory.file(), 0, DmaAccess::kBoth));
        say_ready(line);
        edu.copy_from_host(kHere, Edu::kBufferBytes);
        succeed(edu.device().reset());
      }
    });
    if (round % 2 == 0) {
      ASSERT_TRUE(holder.is_ready());
      ++got_far;
    }
    ::usleep(std::uniform_int_distribution<useconds_t>(0, 100'000)(random));
    holder.kill();
    Edu edu("WARDEN_VM_EDU", GetParam());
    ASSERT_EQ(edu.read(Edu::kId) & 0xFF, 0xEDU) << round;
    const SharedMemory memory(kPage);
    ASSERT_TRUE(edu.device().dma_map(kHere, kPage, memory.file(), 0, DmaAccess::kBoth)) << round;
  }
  EXPECT_EQ(got_far, 13);
}

// Proves that a card whose descriptors another process has outlives its holder: no reset comes between, its DMA stays
// mapped, and the heir can use and unmap it.
TEST_P(KernelHolder, IsSucceededByWhoHasItsDescriptors) {
  const SharedMemory memory(kPage);
  for (std::size_t i = 0; i < kPage / 4; ++i) memory.word(i) = 0xBEE0'0000 + static_cast<std::uint32_t>(i);
  Holder holder([&](int line) {
    Edu edu("WARDEN_VM_EDU", GetParam());
    edu.write(Edu::kLiveness, 0x1234'5678);
    succeed(edu.device().dma_map(kHere, kPage, memory.file(), 0, DmaAccess::kBoth));
    edu.copy_from_host(kHere, Edu::kBufferBytes);
    send_fds(line, edu.device().descriptors());
    for (;;) ::pause();
  });
  auto fds = receive_fds(holder.line());
  EXPECT_EQ(fds.size(), GetParam() == KernelInterface::kGroup ? 3U : 2U);
  holder.kill();
  auto device = vfio::adopt(address_of("WARDEN_VM_EDU"), std::move(fds));
  ASSERT_TRUE(device) << device.error().message;
  Edu edu(std::move(*device));
  EXPECT_EQ(edu.read(Edu::kLiveness), ~0x1234'5678U);
  for (std::size_t i = 0; i < kPage / 4; ++i) memory.word(i) = 0;
  edu.copy_to_host(kHere, Edu::kBufferBytes);
  EXPECT_EQ(memory.word(1), 0xBEE0'0001U);
  ASSERT_TRUE(edu.device().dma_unmap(kHere, kPage));
  memory.word(1) = 0;
  edu.copy_to_host(kHere, Edu::kBufferBytes);
  EXPECT_EQ(memory.word(1), 0U) << "written after the heir had unmapped it";
  ASSERT_TRUE(edu.device().dma_map(kHere, kPage, memory.file(), 0, DmaAccess::kBoth));
  edu.copy_to_host(kHere, Edu::kBufferBytes);
  EXPECT_EQ(memory.word(1), 0xBEE0'0001U);
}

}  // namespace
}  // namespace warden::vm
