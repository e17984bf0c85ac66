// SPDX-License-Identifier: Apache-2.0
// See machine.h. What each option of QEMU is for: docs/virtual-machine.md.
#include "tests/vm/machine.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace warden::vm {

namespace {

constexpr const char* kMemory = "2G";
constexpr unsigned kFirstPort = 0x10;  // device number on the root bus
constexpr unsigned kPortsMax = 14;     // up to where the chipset's own devices begin
constexpr std::size_t kLastWordsBytes = 2000;
const std::filesystem::path kBuild = std::filesystem::path(WARDEN_BIN_DIR).parent_path();
const std::filesystem::path kScripts = std::filesystem::path(WARDEN_SOURCE_DIR) / "tests/vm";

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char letter : word) text += letter == '\'' ? std::string(R"('\'')") : std::string(1, letter);
  return text + "'";
}

std::string quoted(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += quoted(word) + ' ';
  return text;
}

// In an option of QEMU's a comma begins the next part.
std::string option_value(const std::string& text) {
  std::string escaped;
  for (const char letter : text) escaped += letter == ',' ? std::string(",,") : std::string(1, letter);
  return escaped;
}

std::string tail_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  std::string line;
  // QEMU clears address spaces whole and complains about each piece in which nothing was mapped.
  while (std::getline(file, line)) {
    if (line.find("(No such file or directory)") == std::string::npos &&
        line.find("error reply on async request command 3 ") == std::string::npos) {
      text << line << '\n';
    }
  }
  const std::string all = text.str();
  return all.size() > kLastWordsBytes ? all.substr(all.size() - kLastWordsBytes) : all;
}

// Where it writes what would go to the terminal.
std::vector<std::string> logging_to(const std::string& path, const std::vector<std::string>& command) {
  std::vector<std::string> line{"/bin/sh", "-c", R"(log=$0; exec "$@" >"$log" 2>&1)", path};
  line.insert(line.end(), command.begin(), command.end());
  return line;
}

Result<std::string> fetch(const std::string& kernel) {
  std::vector<std::string> command{kScripts / "fetch", "qemu", "busybox"};
  if (kernel != "cdev") command.push_back("kernel-" + kernel);
  // Its progress is for whoever waits, at once.
  const UniqueFd progress(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  test::Process program({"/bin/sh", "-c", fmt::format("exec {} 2>&{}", quoted(command), progress.get())},
                        {.environment = {}, .keep_fds = {progress.get()}});
  std::optional<std::string> cache = program.read_line();
  if (program.wait() != 0 || !cache) return fail(Code::kFailed, "the machine's parts can't be fetched");
  if (std::filesystem::exists(*cache + "/kernel-" + kernel + "/vmlinux")) return *cache;
  return fail(Code::kNotFound,
              fmt::format("no kernel '{}' in {}; make vm-kernel builds the kernel cdev", kernel, *cache));
}

}  // namespace

Result<std::vector<Machine::Card>> Machine::start_simulator(const std::string& board) {
  const std::string log = directory_.path() + "/simulator.log";
  UniqueFd ready;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  ready.reset(ends[0]);
  {  // theirs alone, so that its death is seen
    const UniqueFd theirs(ends[1]);
    const std::string program = WARDEN_BIN_DIR "/warden-sim";
    simulator_.emplace(logging_to(log, {program, "--in-slot", "--board", board, "--dir", simulator_directory(),
                                        "--ready-fd", std::to_string(theirs.get())}),
                       test::Process::Options{.environment = {}, .keep_fds = {theirs.get()}});
  }
  char byte = 0;
  if (::read(ready.get(), &byte, 1) != 1) return fail(Code::kFailed, "warden-sim does not start: " + tail_of(log));
  std::vector<Card> cards;
  for (unsigned chip = 0;; ++chip) {
    const std::string socket = fmt::format("{}/chip{}.sock", simulator_directory(), chip);
    if (!std::filesystem::exists(socket)) break;
    const std::string name = chip == 0 ? "card" : chip == 1 ? "spare" : fmt::format("chip{}", chip);
    const nlohmann::json device{{"driver", "vfio-user-pci"},
                                {"id", name},
                                {"socket", {{"path", socket}, {"type", "unix"}}},
                                {"bus", fmt::format("port{}", kFirstPort + chip)},
                                {"rombar", 0}};
    const std::string variable = chip == 0   ? "WARDEN_VM_CARD"
                                 : chip == 1 ? "WARDEN_VM_SPARE"
                                             : fmt::format("WARDEN_VM_CHIP{}", chip);
    cards.push_back({.variable = variable, .port = kFirstPort + chip, .function = 0, .device = device.dump()});
  }
  return cards;
}

Status Machine::write_plan(const MachineOptions& options, const std::vector<Card>& cards) const {
  std::ofstream plan(directory_.path() + "/plan");
  plan << "build=" << quoted(kBuild) << "\nbinding=" << (options.bind ? "vfio-pci" : "none") << "\ncards=\"";
  for (const Card& card : cards) plan << fmt::format(" {}={:02x}.0/00.{}", card.variable, card.port, card.function);
  plan << "\"\n";

  std::ofstream command(directory_.path() + "/command");
  const char* terminal = std::getenv("TERM");
  command << "export PATH=" << quoted(WARDEN_BIN_DIR)
          << ":$PATH TERM=" << quoted(terminal != nullptr ? terminal : "linux") << "\ncd "
          << quoted(std::filesystem::current_path()) << "\n";
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    command << fmt::format("stty rows {} cols {} 2>/dev/null\n", size.ws_row, size.ws_col);
  }
  for (const std::string& variable : options.environment) command << "export " << quoted(variable) << "\n";
  command << "exec " << (options.command.empty() ? "/bin/bash -i" : quoted(options.command)) << "\n";
  plan.close();
  command.close();
  if (!plan || !command) return fail(Code::kIo, "write the guest's plan in " + directory_.path());
  return {};
}

std::vector<std::string> Machine::command_line(const std::string& cache, const MachineOptions& options,
                                               const std::vector<Card>& cards) const {
  const std::string root = cache + "/qemu";
  const std::string libraries = root + "/usr/lib/x86_64-linux-gnu";
  std::vector<std::string> line{
      root + "/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, root + "/usr/bin/qemu-system-x86_64", "-L",
      root + "/usr/share/qemu", "-L", root + "/usr/share/seabios",
      // Never KVM: where it exists inside a virtual machine it may crawl.
      "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", kMemory, "-machine",
      "q35,kernel-irqchip=split,memory-backend=ram",
      // Shared, because simulated cards reach it through its descriptor.
      "-object", fmt::format("memory-backend-memfd,id=ram,size={},share=on", kMemory), "-nodefaults", "-no-user-config",
      "-display", "none", "-no-reboot", "-chardev", fmt::format("socket,id=console,fd={}", far_ends_[0].get()),
      "-serial", "chardev:console", "-chardev", fmt::format("socket,id=requests,fd={}", far_ends_[1].get()), "-serial",
      "chardev:requests", "-chardev", fmt::format("socket,id=monitor,fd={}", far_ends_[2].get()), "-mon",
      "chardev=monitor,mode=control", "-kernel", fmt::format("{}/kernel-{}/vmlinux", cache, options.kernel), "-initrd",
      directory_.path() + "/initrd", "-append",
      // A busy host gives the emulated timer no chance, and the kernel panics over it unless told not to check.
      "console=ttyS0 quiet panic=-1 intel_iommu=on no_timer_check", "-virtfs",
      "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap", "-virtfs",
      fmt::format("local,path={},mount_tag=build,security_model=none,multidevs=remap", option_value(kBuild))};
  // Before any card.
  if (options.iommu) line.insert(line.end(), {"-device", "intel-iommu,intremap=on,caching-mode=on"});
  unsigned last_port = 0;
  for (const Card& card : cards) {
    if (card.port != last_port) {
      // A faster port reports whether its link is active, but forgets to when a card sits in it, and kernels since 6.2
      // then take each of its resets for failed.
      const auto port = fmt::format("pcie-root-port,id=port{0},chassis={0},slot={0},addr={0:#x},x-speed=5", card.port);
      line.insert(line.end(), {"-device", port});
    }
    last_port = card.port;
    line.insert(line.end(), {"-device", card.device});
  }
  return line;
}

Status Machine::start(const MachineOptions& options) {
  const Result<std::string> cache = fetch(options.kernel);
  if (!cache) return std::unexpected(cache.error());
  Result<std::vector<Card>> cards = start_simulator(options.board);
  if (!cards) return std::unexpected(cards.error());
  const auto edu_port = kFirstPort + static_cast<unsigned>(cards->size());
  if (cards->size() + 3 > kPortsMax) {
    return fail(Code::kInvalidArgument, fmt::format("--board {}: {} chips are the most", options.board, kPortsMax - 3));
  }
  cards->push_back({"WARDEN_VM_EDU", edu_port, 0, fmt::format("edu,id=edu,bus=port{}", edu_port)});
  const unsigned pair = edu_port + 1;
  cards->push_back(
      {"WARDEN_VM_PAIR0", pair, 0, fmt::format("edu,id=pair0,bus=port{},addr=0.0,multifunction=on", pair)});
  cards->push_back({"WARDEN_VM_PAIR1", pair, 1, fmt::format("edu,id=pair1,bus=port{},addr=0.1", pair)});

  cards->push_back({"WARDEN_VM_SERIAL", pair, 2, fmt::format("pci-serial,id=serial,bus=port{},addr=0.2", pair)});
  const unsigned nic = pair + 1;
  cards->push_back({"WARDEN_VM_NIC", nic, 0, fmt::format("e1000e,id=nic,bus=port{},romfile=", nic)});

  if (Status plan = write_plan(options, *cards); !plan) return plan;
  test::Process pack({kScripts / "make-initrd", *cache, "kernel-" + options.kernel, directory_.path()});
  if (pack.wait() != 0) return fail(Code::kFailed, "the initrd can't be packed: " + pack.output());

  UniqueFd* near_ends[] = {&console_, &request_line_, &monitor_};
  std::vector<int> passed;
  for (int i = 0; i < 3; ++i) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socketpair");
    near_ends[i]->reset(ends[0]);
    far_ends_[i].reset(ends[1]);
    passed.push_back(ends[1]);
  }
  const std::string modules = *cache + "/qemu/usr/lib/x86_64-linux-gnu/qemu";
  qemu_.emplace(logging_to(directory_.path() + "/qemu.log", command_line(*cache, options, *cards)),
                test::Process::Options{.environment = {{"QEMU_MODULE_DIR", modules}}, .keep_fds = passed});
  for (UniqueFd& end : far_ends_) end.reset();  // so that its death is seen
  return {};
}

std::string Machine::last_words() const {
  std::string text;
  if (const auto words = tail_of(directory_.path() + "/qemu.log"); !words.empty()) text += "QEMU: " + words;
  if (const auto words = tail_of(directory_.path() + "/simulator.log"); !words.empty()) text += "warden-sim: " + words;
  return text;
}

}  // namespace warden::vm
