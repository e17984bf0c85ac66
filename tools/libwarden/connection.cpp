// SPDX-License-Identifier: Apache-2.0
// The handshake, and the questions that the handed-over memory answers.
#include "tools/libwarden/connection.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace warden::internal {

namespace {

std::chrono::milliseconds left_until(Clock::time_point deadline) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()), std::chrono::milliseconds(0));
}

shm::Hello hello_from(const AttachOptions& options) {
  shm::Hello hello{};
  hello.flags = options.pollable ? shm::kHelloPollable : 0;
  hello.subject_pid = options.subject_pid;
  options.name.copy(hello.name, sizeof(hello.name) - 1);
  return hello;
}

// A refusal comes as a reply with a code and a text.
Result<shm::Welcome> welcome_of(const shm::Packet& packet, bool pollable) {
  if (packet.header.kind == static_cast<std::uint16_t>(shm::MessageKind::kReply) && packet.header.code != 0) {
    const std::string text(reinterpret_cast<const char*>(packet.body.data()), packet.body.size());
    return fail(static_cast<Code>(packet.header.code), text);
  }
  if (packet.header.kind != static_cast<std::uint16_t>(shm::MessageKind::kWelcome)) {
    return fail(Code::kProtocol, "answered hello with a message of kind " + std::to_string(packet.header.kind));
  }
  const std::size_t wanted = pollable ? 4 : 3;
  if (packet.fds.size() != wanted) {
    return fail(Code::kProtocol, "welcome with " + std::to_string(packet.fds.size()) + " descriptors, " +
                                     std::to_string(wanted) + " were expected");
  }
  auto welcome = shm::body_of<shm::Welcome>(packet);
  if (welcome && welcome->slot >= shm::kSessionCapacity) {
    return fail(Code::kProtocol, "welcome to slot " + std::to_string(welcome->slot));
  }
  return welcome;
}

// Let in and then dropped: its worker died in between, and another one will come.
Error busy_if_hung_up(Error error) {
  if (error.code == Code::kDisconnected) error.code = Code::kBusy;
  return error;
}

// Maps what came with the welcome; the notification socket stays in the packet.
Result<std::shared_ptr<Connection>> assemble(shm::Packet packet, UniqueFd socket, const shm::Welcome& welcome) {
  auto directory = shm::DirectoryReader::open(std::move(packet.fds[0]));
  if (!directory) return std::unexpected(std::move(directory).error());
  if (directory->header().instance_id != welcome.instance_id) {
    return fail(Code::kProtocol, "welcome and directory are of different instances");
  }
  auto ledger = shm::LedgerWriter::open(std::move(packet.fds[1]), welcome.session_id);
  if (!ledger) return std::unexpected(std::move(ledger).error());
  auto doorbell = shm::DoorbellMemory::open(std::move(packet.fds[2]));
  if (!doorbell) return std::unexpected(std::move(doorbell).error());
  return std::make_shared<Connection>(std::move(packet), std::move(socket), welcome, std::move(*directory),
                                      std::move(*ledger), std::move(*doorbell));
}

std::vector<UniqueFd> socket_and_notification(UniqueFd socket, shm::Packet packet) {
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(socket));
  if (packet.fds.size() > 3) fds.push_back(std::move(packet.fds[3]));
  return fds;
}

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // only distinctness matters
}

bool is_present(const shm::DeviceRecord& device) {
  // Acquire: the name was written before.
  return device.state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(shm::DeviceState::kAbsent);
}

std::string name_of(const shm::DeviceRecord& device) {
  return std::string(device.name, ::strnlen(device.name, sizeof(device.name)));
}

}  // namespace

Result<std::shared_ptr<Connection>> Connection::open(const std::string& path, const AttachOptions& options,
                                                     Clock::time_point deadline) {
  auto socket = shm::connect_to(path);
  if (!socket) return std::unexpected(std::move(socket).error());
  const std::string doing = "attach to " + path;
  const shm::Hello hello = hello_from(options);
  auto sent = shm::send_packet(socket->get(), shm::request_header(shm::MessageKind::kHello, 0),
                               std::as_bytes(std::span(&hello, 1)));
  if (!sent) return wrap(busy_if_hung_up(std::move(sent).error()), doing);
  auto packet = shm::receive_packet(socket->get(), left_until(deadline));
  if (!packet) return wrap(busy_if_hung_up(std::move(packet).error()), doing + ": await welcome");
  auto welcome = welcome_of(*packet, options.pollable);
  if (!welcome) return wrap(std::move(welcome).error(), doing);
  auto connection = assemble(std::move(*packet), std::move(*socket), *welcome);
  if (!connection) return wrap(std::move(connection).error(), doing);
  return connection;
}

Connection::Connection(shm::Packet packet, UniqueFd socket, const shm::Welcome& welcome, shm::DirectoryReader directory,
                       shm::LedgerWriter ledger, shm::DoorbellMemory doorbell)
    : number_(next_number()),
      welcome_(welcome),
      fds_(socket_and_notification(std::move(socket), std::move(packet))),
      directory_(std::move(directory)),
      fork_generation_(fork_generation()),
      ledger_(std::make_unique<shm::LedgerWriter>(std::move(ledger))),
      doorbell_(std::move(doorbell)) {}

Connection::~Connection() {
  // In a forked child nothing is mapped there, or by now something of somebody else's: it must not be unmapped.
  if (fork_generation() != fork_generation_) (void)ledger_.release();
}

bool Connection::has_hung_up() const noexcept {
  pollfd poll_fd{.fd = socket(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&poll_fd, 1, 0) > 0;
}

bool Connection::owes(std::uint64_t reset_id) const noexcept {
  return directory_.listener(welcome_.slot).owed_reset_id.load(std::memory_order_acquire) == reset_id;
}

std::uint64_t Connection::active_reset_id() const noexcept {
  return directory_.header().active_reset_id.load(std::memory_order_acquire);
}

void Connection::acknowledge(std::uint64_t reset_id) noexcept {
  ledger_->acknowledge(reset_id);
  doorbell_.ring(directory_.header().acks_target.load(std::memory_order_acquire));
}

std::vector<std::string> Connection::device_names(std::uint64_t device_mask) const {
  std::vector<std::string> names;
  for (std::uint32_t index = 0; index < shm::kDeviceCapacity; ++index) {
    const shm::DeviceRecord& device = directory_.device(index);
    if ((device_mask >> index & 1U) != 0 && is_present(device)) names.push_back(name_of(device));
  }
  return names;
}

std::uint64_t Connection::resetting_mask() const noexcept {
  std::uint64_t mask = 0;
  for (std::uint32_t index = 0; index < shm::kDeviceCapacity; ++index) {
    const std::uint32_t state = directory_.device(index).state.load(std::memory_order_acquire);
    if (state == static_cast<std::uint32_t>(shm::DeviceState::kResetting)) mask |= std::uint64_t{1} << index;
  }
  return mask;
}

Result<std::uint64_t> Connection::device_mask(const std::vector<std::string>& names) const {
  if (names.empty()) return ~std::uint64_t{0};
  std::uint64_t mask = 0;
  for (const std::string& name : names) {
    std::uint64_t found = 0;
    for (std::uint32_t index = 0; index < shm::kDeviceCapacity; ++index) {
      const shm::DeviceRecord& device = directory_.device(index);
      const bool meant = is_present(device) && (name_of(device) == name || std::to_string(index) == name);
      if (meant) found |= std::uint64_t{1} << index;
    }
    mask |= found;
    if (found != 0) continue;
    std::string known;
    for (const std::string& other : device_names(~std::uint64_t{0})) known += (known.empty() ? "" : ", ") + other;
    return fail(Code::kNotFound, "no device " + name + "; wardend has " + (known.empty() ? "none" : known));
  }
  return mask;
}

}  // namespace warden::internal
