// SPDX-License-Identifier: Apache-2.0
// Options by CLI11; what they may be is checked here, what they can do is not.
#include "tools/wardend/options.h"

#include <fmt/format.h>
#include <grp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <cstdlib>

#include "driver/vfio/device.h"
#include "shm/message.h"
#include "tools/wardend/allocation_wire.h"
#include "tools/wardend/umd_listeners.h"

namespace warden::daemon {

namespace {

constexpr int kUsage = 2;
constexpr std::size_t kSmallestRingBytes = std::size_t{4} << 10;
constexpr std::size_t kLargestRingBytes = std::size_t{64} << 20;

constexpr const char* kExamples = R"(Examples:
  wardend --device vfio-user:/tmp/sim/chip0.sock --socket /tmp/warden.sock --state /tmp/warden-state
      one simulated card, no rights needed
  wardend --device 0000:01:00.0 --operator-group warden
      a real card; members of the group may reset it
Exit status: 0 stopped by a signal, 1 could not start or go on, 2 wrong usage.)";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string default_socket() {
  const std::string path = environment("WARDEN_SOCKET");
  return path.empty() ? shm::kDefaultSocketPath : path;
}

std::string default_state_directory() {
  if (::geteuid() == 0) return "/var/lib/warden";
  const std::string state = environment("XDG_STATE_HOME");
  return (state.empty() ? environment("HOME") + "/.local/state" : state) + "/warden";
}

std::string check_device(const std::string& name) {
  if (name.size() >= shm::kDeviceNameBytes) return "device name too long";
  const Status known = vfio::check_name(name);
  return known ? std::string() : known.error().message;
}

std::string check_group(const std::string& name) {
  return ::getgrnam(name.c_str()) != nullptr ? std::string()
                                             : fmt::format("there is no group '{}'; create it with groupadd", name);
}

// As the kernel wants it.
std::string check_ring(const std::string& text) {
  const std::size_t bytes = std::strtoull(text.c_str(), nullptr, 10);
  const bool fits = std::has_single_bit(bytes) && bytes >= kSmallestRingBytes && bytes <= kLargestRingBytes;
  return fits ? std::string() : text + " is no power of two from 4K to 64M";
}

}  // namespace

std::variant<Options, int> parse_options(int argc, char** argv) {
  Options options;
  options.socket_path = default_socket();
  std::string group;
  CLI::App app{
      "wardend owns the accelerator cards of a host, tells every process before a card is reset, and proves "
      "that the reset happened.",
      "wardend"};
  app.footer(kExamples);
  app.set_version_flag("--version", "wardend " WARDEN_VERSION);
  app.add_option("--socket", options.socket_path, "Socket clients connect to ($WARDEN_SOCKET)")->capture_default_str();
  app.add_option("--device", options.devices, "vfio-user:/path/to.sock or a PCI address; once for each card")
      ->check(CLI::Validator(check_device, "DEVICE"));
  app.add_option("--state", options.state_directory,
                 "Directory of the journal (default " + default_state_directory() + ")");
  app.add_option("--operator-group", group, "Group whose members may reset cards, besides root and wardend's user")
      ->check(CLI::Validator(check_group, "GROUP"));
  app.add_option("--log-level", options.log_level, "How much is logged to stderr")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--ready-fd", options.ready_fd, "Descriptor to write the line 'ready' to when serving (stdout: 1)")
      ->check(CLI::Range(0, 1 << 20));
  std::string umd_directory;
  CLI::Option* umd = app.add_option("--umd-listeners", umd_directory,
                                    std::string("Tell and hear tt-umd's programs through their directory (default ") +
                                        kUmdListenerDirectory + ")")
                         ->expected(0, 1)
                         ->type_name("[DIR]");
  std::uint32_t umd_grace_ms = static_cast<std::uint32_t>(options.umd_grace.count());
  app.add_option("--umd-grace", umd_grace_ms, "How long such a listener, which can't answer, is awaited (500ms, 2s)")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, std::uint32_t>{{"ms", 1}, {"s", 1000}}))
      ->default_str("2s");
  std::string allocation_socket;
  CLI::Option* allocations =
      app.add_option("--allocation-server", allocation_socket,
                     std::string("Keep the allocation records of unmodified tt-metal programs (default ") +
                         kAllocationSocketPath + ")")
          ->expected(0, 1)
          ->type_name("[PATH]");
  const std::map<std::string, std::optional<bpf::Mechanism>> mechanisms{{"auto", std::nullopt},
                                                                        {"tp_btf", bpf::Mechanism::kTpBtf},
                                                                        {"fentry", bpf::Mechanism::kFentry},
                                                                        {"tracepoint", bpf::Mechanism::kTracepoint},
                                                                        {"pidfd", bpf::Mechanism::kPidfd}};
  std::string mechanism = "auto";
  app.add_option("--exit-watcher", mechanism, "How the death of a process is noticed (see docs/exit-watcher.md)")
      ->check(CLI::IsMember(mechanisms))
      ->capture_default_str();
  app.add_option(
         "--exit-ring", options.exit_ring_bytes,
         "Room for deaths not read yet, 48 bytes each; those beyond are found by looking (4K, 256K, a power of 2)")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Validator(check_ring, "BYTES"))
      ->default_str("256K");
  app.add_option("--max-windows", options.limits.windows, "How many windows of cards one session may hold")
      ->capture_default_str();
  app.add_option("--max-dma", options.limits.dma_bytes, "How much DMA memory one session may hold (bytes, or 64M, 2G)")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("1G");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "wardend: {}; see wardend --help\n", error.what());
    return kUsage;
  }
  if (umd->count() > 0) options.umd_directory = umd_directory.empty() ? kUmdListenerDirectory : umd_directory;
  options.umd_grace = std::chrono::milliseconds(umd_grace_ms);
  options.exit_watcher = mechanisms.at(mechanism);
  if (allocations->count() > 0) {
    options.allocation_socket = allocation_socket.empty() ? kAllocationSocketPath : allocation_socket;
  }
  if (options.state_directory.empty()) {
    options.state_directory = default_state_directory();
    options.default_state_directory = true;
  }
  if (!group.empty()) options.operator_group = ::getgrnam(group.c_str())->gr_gid;
  return options;
}

}  // namespace warden::daemon
