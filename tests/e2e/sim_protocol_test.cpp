// SPDX-License-Identifier: Apache-2.0
// vfio-user as warden-sim speaks it, right and wrong: whoever breaks the protocol is dropped with a logged reason,
// and nobody else notices.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/e2e/sim_process.h"

namespace warden::sim::testing {
namespace {

namespace wire = vfio::wire;
using wire::Command;

constexpr std::uint32_t kBar0 = VFIO_PCI_BAR0_REGION_INDEX;
constexpr std::uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr std::uint64_t kPostCode = 0x1FF30060;

template <typename T>
T payload_as(const WireReply& reply) {
  T value{};
  EXPECT_GE(reply.payload.size(), sizeof(value));
  std::memcpy(&value, reply.payload.data(), std::min(sizeof(value), reply.payload.size()));
  return value;
}

int error_of(const std::optional<WireReply>& reply) {
  if (!reply) return -1;
  return (reply->header.flags & wire::kFlagError) != 0 ? static_cast<int>(reply->header.error_number) : 0;
}

void await_reset_begun(const SimProcess& sim) {
  while (nlohmann::json::parse(sim.ctl({"stats", "--json"})).at("chips").at(0).at("resets").at("function") == 0) {
  }  // the test's own deadline ends this
}

wire::Header header(std::uint32_t message_bytes, Command command = Command::kVersion) {
  return {.message_id = 1,
          .command = static_cast<std::uint16_t>(command),
          .message_bytes = message_bytes,
          .flags = 0,
          .error_number = 0};
}

// Proves what a client learns at first: the capabilities, and a PCI function with resets, nine regions and five
// interrupts, of which BARs, configuration space and one MSI vector exist.
TEST(SimProtocol, DescribesThePciFunction) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  std::vector<std::byte> hello = bytes_of(wire::Version{.major = 0, .minor = 0});
  const auto version = client.ask(Command::kVersion, hello);
  ASSERT_TRUE(version);
  EXPECT_EQ(payload_as<wire::Version>(*version).minor, 0) << "never newer than what was asked for";
  const auto* text = reinterpret_cast<const char*>(version->payload.data()) + sizeof(wire::Version);
  const auto capabilities = nlohmann::json::parse(text).at("capabilities");
  for (const char* name : {"max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes"}) {
    EXPECT_TRUE(capabilities.contains(name)) << name;
  }

  const auto info = client.ask(Command::kDeviceGetInfo, bytes_of(wire::DeviceInfo{16, 0, 0, 0}));
  const auto device = payload_as<wire::DeviceInfo>(*info);
  EXPECT_EQ(device.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
  EXPECT_EQ(device.region_count, 9U);
  EXPECT_EQ(device.irq_count, 5U);

  const std::array<std::uint64_t, 9> sizes = {512U << 20, 0, 1U << 20, 0, 32U << 20, 0, 0, 4096, 0};
  for (std::uint32_t i = 0; i < sizes.size(); ++i) {
    const auto reply = client.ask(Command::kDeviceGetRegionInfo, bytes_of(wire::RegionInfo{32, 0, i, 0, 0, 0}));
    EXPECT_EQ(payload_as<wire::RegionInfo>(*reply).size, sizes[i]) << "region " << i;
  }
  for (std::uint32_t i = 0; i < 5; ++i) {
    const auto reply = client.ask(Command::kDeviceGetIrqInfo, bytes_of(wire::IrqInfo{16, 0, i, 0}));
    EXPECT_EQ(payload_as<wire::IrqInfo>(*reply).count,
              i >= VFIO_PCI_MSI_IRQ_INDEX && i != VFIO_PCI_MSIX_IRQ_INDEX ? 1U : 0U)
        << "interrupt " << i;
  }
}

// Proves that requests that make no sense get an error reply and cost nobody the connection.
TEST(SimProtocol, AnswersNonsenseWithErrors) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello(R"({"capabilities":{"never_heard_of":{"x":[1]}},"future":true})"));
  EXPECT_EQ(error_of(client.ask(static_cast<Command>(99))), ENOTSUP);
  EXPECT_EQ(error_of(client.ask(Command::kDmaRead, bytes_of(wire::DmaAccess{0, 4}))), ENOTSUP);
  EXPECT_EQ(error_of(client.ask(Command::kDeviceGetInfo, bytes_of(wire::DeviceInfo{4, 0, 0, 0}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kDeviceGetRegionInfo, bytes_of(wire::RegionInfo{32, 0, 9, 0, 0, 0}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kRegionRead, bytes_of(wire::RegionAccess{4094, kConfig, 4}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kRegionRead, bytes_of(wire::RegionAccess{~0ULL, kBar0, 4}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kRegionRead, bytes_of(wire::RegionAccess{0, 77, 4}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kRegionRead, bytes_of(wire::RegionAccess{0, kBar0, 1U << 30}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kDmaMap, bytes_of(wire::DmaMap{32, 3, 0, 0x123, 4096}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kDmaMap, bytes_of(wire::DmaMap{32, 3, 0, ~4095ULL, 8192}))), EINVAL);
  EXPECT_EQ(error_of(client.ask(Command::kDmaUnmap, bytes_of(wire::DmaUnmap{24, 0, 0, 4096}))), ENOENT);
  EXPECT_EQ(client.read32(kBar0, kPostCode), 0xC0DE0001U);
}

// Proves that no reply comes when none is wanted, not even for an error, and that order is kept.
TEST(SimProtocol, HonoursNoReply) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  std::vector<std::byte> write = bytes_of(wire::RegionAccess{.offset = 0x1FC00000, .region = kBar0, .count = 4});
  const std::vector<std::byte> value = bytes_of(std::uint32_t{0x410000});
  write.insert(write.end(), value.begin(), value.end());
  client.send(Command::kRegionWrite, write, wire::kFlagNoReply);
  client.send(static_cast<Command>(99), {}, wire::kFlagNoReply);
  EXPECT_EQ(client.read32(kBar0, 0x1FC00000), 0x410000U);
}

// Proves that requests may arrive in any cutting: byte by byte, and several at once.
TEST(SimProtocol, TakesAnyCutting) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  std::vector<std::byte> one = bytes_of(header(32, Command::kRegionRead));
  const auto access = bytes_of(wire::RegionAccess{.offset = 0, .region = kConfig, .count = 4});
  one.insert(one.end(), access.begin(), access.end());
  for (const std::byte& byte : one) client.send_bytes(std::span(&byte, 1));
  EXPECT_EQ(error_of(client.receive()), 0);
  std::vector<std::byte> many;
  for (int i = 0; i < 5000; ++i) many.insert(many.end(), one.begin(), one.end());
  std::thread sender([&] { client.send_bytes(many); });
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(error_of(client.receive()), 0);
  sender.join();
}

struct Violation {
  const char* name;
  bool negotiate;
  std::vector<std::byte> bytes;
  const char* logged;
};

std::vector<std::byte> message(wire::Header head, std::span<const std::byte> payload) {
  head.message_bytes = static_cast<std::uint32_t>(sizeof(head) + payload.size());
  std::vector<std::byte> all = bytes_of(head);
  all.insert(all.end(), payload.begin(), payload.end());
  return all;
}

std::vector<Violation> violations() {
  const auto text = [](const std::string& json) {
    std::vector<std::byte> payload = bytes_of(wire::Version{.major = 0, .minor = 1});
    const auto raw = std::as_bytes(std::span(json.data(), json.size()));
    payload.insert(payload.end(), raw.begin(), raw.end());
    return message(header(0), payload);
  };
  wire::Header reply = header(16);
  reply.flags = wire::kFlagReply;
  std::vector<std::byte> garbage(1000);
  std::mt19937 random(7);
  for (std::byte& byte : garbage) byte = static_cast<std::byte>(random());
  return {
      {"wrong version", false, message(header(0), bytes_of(wire::Version{.major = 1, .minor = 0})), "version 1.0"},
      {"no JSON", false, text(std::string("{\"capabilities\":", 16) + '\0'), "not a JSON object"},
      {"unterminated JSON", false, text("{}"), "NUL"},
      {"no greeting", false, message(header(0, Command::kDeviceReset), {}), "before the version"},
      {"garbage", false, garbage, "dropped"},
      {"oversized", true, bytes_of(header(wire::kMaxMessageBytes + 1, Command::kRegionWrite)), "longer than"},
      {"short header", true, bytes_of(header(15, Command::kDeviceReset)), "shorter than a header"},
      {"short payload", true, bytes_of(header(16, Command::kRegionRead)), "needs 32"},
      {"reply", true, bytes_of(reply), "not a command"},
      {"short write", true, message(header(0, Command::kRegionWrite), bytes_of(wire::RegionAccess{0, kBar0, 4})),
       "came with 0"},
  };
}

// Proves that each breach of the protocol costs the peer its connection, with its reason logged, that the chip takes
// the next client at once, and that a client of another chip never notices.
TEST(SimProtocol, DropsWhoeverBreaksIt) {
  SimProcess sim({"--board", "mesh:1x2"});
  WireClient bystander(sim.socket(1));
  ASSERT_TRUE(bystander.hello());
  for (const Violation& violation : violations()) {
    SCOPED_TRACE(violation.name);
    WireClient client(sim.socket(0));
    if (violation.negotiate) {
      ASSERT_TRUE(client.hello());
    }
    client.send_bytes(violation.bytes);
    while (client.receive()) {  // an error reply may come first
    }
    sim.await_log(violation.logged);
    EXPECT_EQ(bystander.read32(kBar0, kPostCode), 0xC0DE0001U);
  }
  WireClient next(sim.socket(0));
  EXPECT_TRUE(next.hello());
  const auto stats = nlohmann::json::parse(sim.ctl({"stats", "--json"}));
  EXPECT_EQ(stats.at("chips").at(0).at("clients_dropped"), violations().size());
  EXPECT_EQ(stats.at("chips").at(1).at("clients_dropped"), 0);
}

// Proves that a client that dies in the middle of a message is told apart from one that leaves.
TEST(SimProtocol, NoticesATruncatedMessage) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  const std::vector<std::byte> whole = bytes_of(header(64, Command::kRegionWrite));
  client.send_bytes(std::span(whole).first(10));
  client.close();
  sim.await_log("closed within a message, after 10 bytes");
  WireClient next(sim.socket(0));
  EXPECT_TRUE(next.hello());
  next.close();
  sim.await_log("client left");
}

// Proves that descriptors beyond what a command takes, or not as many as it announces, are a breach too.
TEST(SimProtocol, DropsOverDescriptors) {
  SimProcess sim;
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const wire::SetIrqs set{20, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1};
  {
    WireClient client(sim.socket(0));
    ASSERT_TRUE(client.hello());
    (void)client.ask(Command::kDeviceSetIrqs, bytes_of(set), {event.get(), event.get()});
    EXPECT_TRUE(client.closed());
  }
  sim.await_log("2 descriptors for 1 interrupts");
  {
    WireClient client(sim.socket(0));
    ASSERT_TRUE(client.hello());
    (void)client.ask(Command::kRegionRead, bytes_of(wire::RegionAccess{0, kConfig, 4}), {event.get()});
    EXPECT_TRUE(client.closed());
  }
  sim.await_log("came with 1 descriptors, 0 allowed");
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  client.send(Command::kDeviceSetIrqs, bytes_of(set), 0, std::vector<int>(wire::kMaxMessageFds + 1, event.get()));
  EXPECT_TRUE(client.closed());
  sim.await_log("more than 8 descriptors");
}

// Proves that a second client is told EBUSY and sent away, that the first one does not notice, and that a third is
// served as soon as the first has hung up.
TEST(SimProtocol, RefusesASecondClientAsBusy) {
  SimProcess sim;
  std::optional<WireClient> first(sim.socket(0));
  ASSERT_TRUE(first->hello());
  WireClient second(sim.socket(0));
  EXPECT_EQ(error_of(second.ask(Command::kVersion, bytes_of(wire::Version{0, 0}))), EBUSY);
  EXPECT_TRUE(second.closed());
  EXPECT_EQ(first->read32(kBar0, kPostCode), 0xC0DE0001U);
  first.reset();
  WireClient third(sim.socket(0));
  EXPECT_TRUE(third.hello());
  EXPECT_EQ(nlohmann::json::parse(sim.ctl({"stats", "--json"})).at("chips").at(0).at("clients_refused"), 1);
}

// Proves that a client is served after one that hung up while its last request is still being carried out.
TEST(SimProtocol, WhoHungUpIsNotInTheWay) {
  SimProcess sim({"--reset-duration", "500"});
  WireClient first(sim.socket(0));
  ASSERT_TRUE(first.hello());
  first.send(Command::kDeviceReset, {});
  await_reset_begun(sim);
  first.close();
  WireClient second(sim.socket(0));
  EXPECT_TRUE(second.hello()) << sim.output();
}

// Proves that a descriptor goes to the message it came with, also when earlier messages arrive in the same piece.
TEST(SimProtocol, DescriptorsGoToTheirMessage) {
  SimProcess sim({"--reset-duration", "500"});
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  client.send(Command::kDeviceReset, {});
  await_reset_begun(sim);  // what follows waits in the socket until it is over
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const wire::SetIrqs set{20, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1};
  client.send(Command::kRegionRead, bytes_of(wire::RegionAccess{0, kConfig, 4}));
  client.send(Command::kDeviceSetIrqs, bytes_of(set), 0, {event.get()});
  client.send(Command::kRegionRead, bytes_of(wire::RegionAccess{0, kConfig, 4}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(error_of(client.receive()), 0) << "reply " << i;
  sim.ctl({"interrupt", "0"});
}

// Proves that an interrupt of the card arrives through the eventfd of SET_IRQS, not after it was taken away.
TEST(SimProtocol, DeliversInterrupts) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const wire::SetIrqs set{20, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1};
  ASSERT_EQ(error_of(client.ask(Command::kDeviceSetIrqs, bytes_of(set), {event.get()})), 0);
  sim.ctl({"interrupt", "0"});
  std::uint64_t count = 0;
  EXPECT_EQ(::read(event.get(), &count, sizeof(count)), 8);
  EXPECT_EQ(count, 1U);
  const wire::SetIrqs none{20, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 0};
  ASSERT_EQ(error_of(client.ask(Command::kDeviceSetIrqs, bytes_of(none))), 0);
  EXPECT_EQ(run_sim({"ctl", "--dir", sim.directory(), "interrupt", "0"}).status, 1);
}

// Proves DMA end to end: a descriptor passed in DMA_MAP is what the card writes through its PCIe tile.
TEST(SimProtocol, DmaReachesTheClientsMemory) {
  SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  const UniqueFd memory(::memfd_create("sim-test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memory.get(), 8192), 0);
  const wire::DmaMap map{32, wire::kDmaReadable | wire::kDmaWritable, 4096, 0x100000, 4096};
  ASSERT_EQ(error_of(client.ask(Command::kDmaMap, bytes_of(map), {memory.get()})), 0);
  // Window 166 (16 MiB) onto (0,3) at 0x8_0000_0000.
  client.write32(kBar0, 0x1FC00000 + 8 * 166, 0x800 | 3U << 18);
  client.write32(kBar0, 0x1FC00000 + 8 * 166 + 4, 0);
  client.write32(kBar0, 0xB000000 + 0x100020, 0xFEEDF00D);
  std::uint32_t seen = 0;
  ASSERT_EQ(::pread(memory.get(), &seen, sizeof(seen), 4096 + 0x20), 4);
  EXPECT_EQ(seen, 0xFEEDF00DU);
  ASSERT_EQ(error_of(client.ask(Command::kDmaUnmap, bytes_of(wire::DmaUnmap{24, 0, 0x100000, 4096}))), 0);
  EXPECT_EQ(client.read32(kBar0, 0xB000000 + 0x100020), 0xFFFFFFFFU);
}

// Proves that --in-slot leaves the card to the kernel of the virtual machine: BARs dead until it enables memory, and
// dead again after a reset.
TEST(SimProtocol, InASlotTheClientSetsTheCardUp) {
  SimProcess sim({"--in-slot", "--reset-duration", "1"});
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client.read32(kBar0, kPostCode), 0xFFFFFFFFU);
    client.write32(kConfig, 4, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    EXPECT_EQ(client.read32(kBar0, kPostCode), 0xC0DE0001U);
    ASSERT_EQ(error_of(client.ask(Command::kDeviceReset)), 0);
  }
}

// Proves that DEVICE_RESET returns when the function is back, with the windows lost and the command register kept.
TEST(SimProtocol, DeviceResetReturnsWhenItIsOver) {
  SimProcess sim({"--reset-duration", "50"});
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  client.write32(kConfig, 4, client.read32(kConfig, 4) | 0x40);
  client.write32(kBar0, 0x1FC00000, 0x410000);
  ASSERT_EQ(error_of(client.ask(Command::kDeviceReset)), 0);
  EXPECT_EQ(client.read32(kConfig, 0), 0x401E1E52U);
  EXPECT_EQ(client.read32(kConfig, 4) & 0x46, 0x46U);
  EXPECT_EQ(client.read32(kBar0, 0x1FC00000), 0U);
  sim.ctl({"fault", "0", "off-bus"});
  EXPECT_EQ(error_of(client.ask(Command::kDeviceReset)), EIO);
}

}  // namespace
}  // namespace warden::sim::testing
