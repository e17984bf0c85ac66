// SPDX-License-Identifier: Apache-2.0
// See pci_kernel.h.
#include "tests/support/pci_kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <stdexcept>

namespace warden::test {
namespace {

const std::string kDrivers = "/sys/bus/pci/drivers/";
const std::string kMark = "mark";
const std::string kDevices = "/sys/bus/pci/devices/";

}  // namespace

PciKernel::PciKernel(PciTree& tree, Behaviour behaviour) : tree_(tree), behaviour_(std::move(behaviour)) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  wake_read_ = UniqueFd(ends[0]);
  wake_write_ = UniqueFd(ends[1]);
  add_pipe(Kind::kProbe, "", "/sys/bus/pci/drivers_probe");
  for (const std::string& driver : pci::Sysfs::names_in(tree.path_of(kDrivers))) {
    add_pipe(Kind::kBind, driver, kDrivers + driver + "/bind");
    add_pipe(Kind::kUnbind, driver, kDrivers + driver + "/unbind");
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

PciKernel::~PciKernel() {
  thread_.request_stop();
  wake_write_.reset();
}

// What was written before the first mark is read in its round or in the next.
void PciKernel::settle() {
  for (int mark = 0; mark < 2; ++mark) {
    const int before = rounds_;
    (void)pci::Sysfs::write(tree_.path_of("/sys/bus/pci/drivers_probe"), kMark);
    if (!eventually([&] { return rounds_ > before; })) throw std::runtime_error("the kernel hangs");
  }
}

// Open for both ends: whoever writes never waits for a reader. Not open at all: he waits as for a driver that holds on.
void PciKernel::add_pipe(Kind kind, const std::string& driver, const std::string& path) {
  tree_.remove(path);
  if (::mkfifo(tree_.path_of(path).c_str(), 0600) != 0) throw std::runtime_error("mkfifo " + path);
  if (kind == Kind::kUnbind && behaviour_.holding.contains(driver)) return;
  pipes_.push_back({kind, driver, UniqueFd(::open(tree_.path_of(path).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC))});
}

void PciKernel::let_go(const std::string& driver) {
  const UniqueFd pipe(::open(tree_.path_of(kDrivers + driver + "/unbind").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 256> text;
  const ssize_t count = ::read(pipe.get(), text.data(), text.size());
  std::istringstream lines(std::string(text.data(), static_cast<std::size_t>(count < 0 ? 0 : count)));
  for (std::string address; std::getline(lines, address);) detach(address);
}

void PciKernel::run(const std::stop_token& stop) {
  std::vector<pollfd> watched = {{.fd = wake_read_.get(), .events = POLLIN, .revents = 0}};
  for (const Pipe& pipe : pipes_) watched.push_back({.fd = pipe.fd.get(), .events = POLLIN, .revents = 0});
  while (!stop.stop_requested()) {
    (void)::poll(watched.data(), watched.size(), -1);
    for (const Pipe& pipe : pipes_) {
      std::array<char, 4096> text;
      const ssize_t count = ::read(pipe.fd.get(), text.data(), text.size());
      if (count <= 0) continue;
      std::istringstream lines(std::string(text.data(), static_cast<std::size_t>(count)));
      for (std::string address; std::getline(lines, address);) obey(pipe, address);
    }
  }
}

void PciKernel::obey(const Pipe& pipe, const std::string& address) {
  if (address == kMark) {
    ++rounds_;
    return;
  }
  const std::string wanted = override_of(address);
  switch (pipe.kind) {
    case Kind::kUnbind:
      if (driver_of(address) == pipe.driver) detach(address);
      return;
    case Kind::kBind:
      if (wanted.empty() || wanted == pipe.driver) attach(address, pipe.driver);
      return;
    case Kind::kProbe: attach(address, wanted.empty() ? behaviour_.natural[address] : wanted); return;
  }
}

void PciKernel::attach(const std::string& address, const std::string& driver) {
  if (driver.empty() || !driver_of(address).empty() || behaviour_.unwilling.contains(driver)) return;
  const std::string group = pci::Sysfs::link_name(tree_.path_of(kDevices + address + "/iommu_group"));
  if (driver == "vfio-pci") tree_.put("/dev/vfio/" + group, "");
  tree_.link(kDevices + address + "/driver", tree_.path_of(kDrivers + driver));
}

void PciKernel::detach(const std::string& address) {
  const std::string group = pci::Sysfs::link_name(tree_.path_of(kDevices + address + "/iommu_group"));
  if (driver_of(address) == "vfio-pci") tree_.remove("/dev/vfio/" + group);
  tree_.remove(kDevices + address + "/driver");
}

std::string PciKernel::driver_of(const std::string& address) const {
  return pci::Sysfs::link_name(tree_.path_of(kDevices + address + "/driver"));
}

std::string PciKernel::override_of(const std::string& address) const {
  const std::string text = tree_.text_of(kDevices + address + "/driver_override");
  return text == "(null)" ? "" : text;
}

}  // namespace warden::test
