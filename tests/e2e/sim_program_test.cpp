// SPDX-License-Identifier: Apache-2.0
// warden-sim as a program: what it refuses, what it leaves behind, its control socket, its appetite for memory.
#include <gtest/gtest.h>
#include <linux/vfio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/e2e/sim_process.h"

namespace warden::sim::testing {
namespace {

constexpr std::uint32_t kBar0 = VFIO_PCI_BAR0_REGION_INDEX;
constexpr std::uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr std::uint64_t kMessage = 0x1FF30074;
constexpr std::uint64_t kMiscControl = 0x1FF30100;

bool one_line(const std::string& text) {
  return std::ranges::count(text, '\n') == 1 && text.ends_with('\n') && text.starts_with("warden-sim: ");
}

void trigger_reset(WireClient& client) {
  client.write32(kBar0, 0x1FF3006C, 0);
  client.write32(kBar0, kMessage, 0xAA56);
  client.write32(kBar0, kMiscControl, 1U << 16);
}

nlohmann::json report(const SimProcess& sim, const char* what) {
  return nlohmann::json::parse(sim.ctl({what, "--json"})).at("chips").at(0);
}

// Proves that every wrong option ends in status 2 and one line, and every refusal of the world in status 1 and one
// line.
TEST(SimProgram, RefusesInOneLine) {
  const TemporaryDirectory directory;
  const std::vector<std::vector<std::string>> usage = {
      {},
      {"--bogus"},
      {"--dir", directory.path(), "--board", "n300"},
      {"--dir", directory.path(), "--board", "mesh:5x8"},
      {"--dir", directory.path(), "--harvest", "6"},
      {"--dir", directory.path(), "--flr", "maybe"},
      {"--dir", directory.path(), "--reset-duration", "soon"},
      {"--dir", directory.path(), "--fault", "tired"},
      {"--dir", directory.path(), "--fault", "1:arc-hung"},
      {"ctl", "--dir", directory.path()},
      {"ctl", "--dir", directory.path(), "fault", "0", "tired"},
  };
  for (const auto& arguments : usage) {
    const Finished finished = run_sim(arguments);
    EXPECT_EQ(finished.status, 2) << finished.errors;
    EXPECT_TRUE(one_line(finished.errors)) << finished.errors;
  }
  const std::vector<std::vector<std::string>> world = {
      {"--dir", "/proc/warden-sim"},
      {"--dir", directory.path() + std::string(120, 'x')},
      {"ctl", "--dir", directory.path(), "stats"},
  };
  for (const auto& arguments : world) {
    const Finished finished = run_sim(arguments);
    EXPECT_EQ(finished.status, 1) << finished.errors;
    EXPECT_TRUE(one_line(finished.errors)) << finished.errors;
  }
}

// Proves that a second simulator in the same directory is refused and does the first no harm.
TEST(SimProgram, RefusesADirectoryInUse) {
  const SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  const Finished second = run_sim({"--dir", sim.directory()});
  EXPECT_EQ(second.status, 1);
  EXPECT_TRUE(one_line(second.errors)) << second.errors;
  EXPECT_EQ(client.read32(kConfig, 0), 0x401E1E52U);
}

// Proves that both signals end it with status 0, also with a client connected, and that its sockets go away.
TEST(SimProgram, EndsCleanly) {
  for (const int signal_number : {SIGTERM, SIGINT}) {
    SimProcess sim({"--board", "mesh:1x3"});
    WireClient client(sim.socket(1));
    ASSERT_TRUE(client.hello());
    EXPECT_EQ(sim.end(signal_number), 0);
    EXPECT_TRUE(client.closed());
    EXPECT_TRUE(std::filesystem::is_empty(sim.directory()));
  }
}

// Proves that sockets of a killed simulator are no obstacle, and a file in their place is never removed.
TEST(SimProgram, TakesOverStaleSockets) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/chip0.sock";
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  {
    const SimProcess sim(directory.path(), {});
    WireClient client(path);
    EXPECT_TRUE(client.hello());
  }
  std::ofstream(path) << "precious";
  const Finished finished = run_sim({"--dir", directory.path()});
  EXPECT_EQ(finished.status, 1);
  EXPECT_TRUE(one_line(finished.errors)) << finished.errors;
  EXPECT_TRUE(std::filesystem::exists(path));
}

// Proves that the reset of a driver through BAR0 is real, and that the simulator counts who touched the card
// meanwhile.
TEST(SimProgram, CountsAccessesDuringAReset) {
  SimProcess sim({"--reset-duration", "3600000"});
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  trigger_reset(client);
  EXPECT_EQ(report(sim, "status").at("state"), "resetting");
  EXPECT_EQ(report(sim, "stats").at("bar_accesses_during_reset"), 0);
  EXPECT_EQ(client.read32(kBar0, kMessage), 0xFFFFFFFFU);
  EXPECT_EQ(client.read32(kConfig, 0), 0xFFFFFFFFU);
  const nlohmann::json stats = report(sim, "stats");
  EXPECT_EQ(stats.at("bar_accesses_during_reset"), 1);
  EXPECT_EQ(stats.at("config_accesses_during_reset"), 1);
  EXPECT_EQ(stats.at("resets").at("asic"), 1);
}

// Proves that faults can be chosen at start, per chip, and changed while it runs.
TEST(SimProgram, FaultsByOptionAndControl) {
  const SimProcess sim({"--board", "mesh:1x2", "--fault", "1:off-bus"});
  WireClient first(sim.socket(0));
  WireClient second(sim.socket(1));
  ASSERT_TRUE(first.hello() && second.hello());
  EXPECT_EQ(first.read32(kConfig, 0), 0x401E1E52U);
  EXPECT_EQ(second.read32(kConfig, 0), 0xFFFFFFFFU);
  sim.ctl({"fault", "1", "none"});
  EXPECT_EQ(second.read32(kConfig, 0), 0x401E1E52U);
  sim.ctl({"fault", "all", "off-bus"});
  EXPECT_EQ(first.read32(kConfig, 0), 0xFFFFFFFFU);
  EXPECT_EQ(second.read32(kConfig, 0), 0xFFFFFFFFU);
}

// Proves that a link reset by the control socket runs and ends by itself, and that its duration can be set.
TEST(SimProgram, LinkResetByControl) {
  const SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  sim.ctl({"reset-duration", "0", "1"});
  client.write32(kBar0, 0x1FC00000, 0x410000);
  sim.ctl({"link-reset", "0"});
  while (client.read32(kConfig, 0) == 0xFFFFFFFF) {  // the test's own deadline ends this
  }
  EXPECT_EQ(client.read32(kBar0, 0x1FC00000), 0U);
  EXPECT_EQ(report(sim, "stats").at("resets").at("link"), 1);
}

// Proves that a core hangs and goes on as told, is named meanwhile, and that wrong tiles are refused in one line.
TEST(SimProgram, HangsCores) {
  const SimProcess sim;
  WireClient client(sim.socket(0));
  ASSERT_TRUE(client.hello());
  const auto refused = [&](const char* command, const char* tile) {
    const Finished finished = run_sim({"ctl", "--dir", sim.directory(), command, "0", tile});
    EXPECT_TRUE(one_line(finished.errors)) << finished.errors;
    return finished.status;
  };
  EXPECT_EQ(refused("hang", "e16"), 2);
  EXPECT_EQ(refused("hang", "1"), 2);
  EXPECT_EQ(refused("hang", "e3"), 1) << "held in reset";
  // Window 166 (16 MiB) onto the debug block of E3, (2,0): let it go.
  client.write32(kBar0, 0x1FC00000 + 8 * 166, 0xFF | 2U << 12);
  client.write32(kBar0, 0x1FC00000 + 8 * 166 + 4, 0);
  client.write32(kBar0, 0xB000000 + 0xB121B0, 0);
  sim.ctl({"hang", "0", "e3"});
  EXPECT_EQ(report(sim, "status").at("hung_cores"), nlohmann::json({"e3"}));
  sim.ctl({"thaw", "0", "2,0"});
  EXPECT_EQ(report(sim, "status").at("hung_cores"), nlohmann::json::array());
  EXPECT_EQ(refused("thaw", "e3"), 1);
}

// Proves that garbage on the control socket is answered or dropped, and the simulator goes on.
TEST(SimProgram, ControlSocketTakesGarbage) {
  SimProcess sim;
  for (const std::string& line : {std::string("\n"), std::string("[]\n"), std::string("{\"command\":7}\n"),
                                  std::string("{\"command\":\"stats\",\"chip\":99}\n"), std::string("\xff\xfe\n")}) {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (sim.directory() + "/control.sock").c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL), static_cast<ssize_t>(line.size()));
    std::array<char, 4096> answer;
    const ssize_t size = ::recv(socket.get(), answer.data(), answer.size(), 0);
    ASSERT_GT(size, 0);
    EXPECT_EQ(nlohmann::json::parse(answer.data(), answer.data() + size).at("ok"), false);
  }
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (sim.directory() + "/control.sock").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const std::string endless(10'000, 'x');
  (void)::send(socket.get(), endless.data(), endless.size(), MSG_NOSIGNAL);
  sim.await_log("longer than");
  EXPECT_EQ(report(sim, "status").at("state"), "running");
}

// Proves that 32 chips in use fit in one GiB: each with a page in every L1 and some megabytes of DRAM.
TEST(SimProgram, ThirtyTwoChipsFitInOneGigabyte) {
  const SimProcess sim({"--board", "mesh:4x8", "--harvest", "none"});
  for (unsigned chip = 0; chip < 32; ++chip) {
    WireClient client(sim.socket(chip));
    ASSERT_TRUE(client.hello());
    // Multicast through window 166 (16 MiB) from (1,1) to (9,11), a word in each of 16 pages.
    const std::uint64_t fields = 9ULL << 12 | 11ULL << 18 | 1ULL << 24 | 1ULL << 30 | 1ULL << 37;
    client.write32(kBar0, 0x1FC00000 + 8 * 166, static_cast<std::uint32_t>(fields));
    client.write32(kBar0, 0x1FC00000 + 8 * 166 + 4, static_cast<std::uint32_t>(fields >> 32));
    for (std::uint64_t page = 0; page < 16; ++page) client.write32(kBar0, 0xB000000 + page * 4096, 1);
    client.write32(kBar0, 0x1FC00000 + 8 * 166, 0);
    client.write32(kBar0, 0x1FC00000 + 8 * 166 + 4, 0);
    for (std::uint64_t page = 0; page < 512; ++page) client.write32(kBar0, 0xB000000 + page * 4096, 1);
  }
  std::ifstream status("/proc/" + std::to_string(sim.pid()) + "/status");
  std::uint64_t resident_kib = 0;
  for (std::string word; status >> word;) {
    if (word == "VmHWM:") status >> resident_kib;
  }
  EXPECT_GT(resident_kib, 0U);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // their shadow memory is not ours
  EXPECT_LT(resident_kib, 1U << 20);
#endif
}

}  // namespace
}  // namespace warden::sim::testing
