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

shm::Hello hello_from(const AttachOptions& options, bool with_ledger) {
  shm::Hello hello{};
  hello.flags =
      (options.pollable ? shm::kHelloPollable : 0) | (with_ledger ? shm::kHelloLedger : 0) | shm::kHelloLiveness;
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
  auto welcome = shm::body_of<shm::Welcome>(packet);
  if (!welcome) return welcome;
  const std::size_t wanted =
      std::size_t{3} + (pollable ? 1 : 0) + ((welcome->flags & shm::kWelcomeLiveness) != 0 ? 1 : 0);
  if (packet.fds.size() != wanted) {
    return fail(Code::kProtocol, "welcome with " + std::to_string(packet.fds.size()) + " descriptors, " +
                                     std::to_string(wanted) + " were expected");
  }
  if (welcome->slot >= shm::kSessionCapacity) {
    return fail(Code::kProtocol, "welcome to slot " + std::to_string(welcome->slot));
  }
  return welcome;
}

// Let in and then dropped: its worker died in between, and another one will come.
Error busy_if_hung_up(Error error) {
  if (error.code == Code::kDisconnected) error.code = Code::kBusy;
  return error;
}

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // only distinctness matters
}

// The ledger handed back, when this is it; else the fresh one that it is.
Result<std::shared_ptr<ClientLedger>> ledger_from(UniqueFd fd, const std::shared_ptr<ClientLedger>& kept,
                                                  const shm::Welcome& welcome, std::uint64_t number,
                                                  const shm::CoarseClock& clock) {
  if (kept && kept->pass_on(fd.get(), welcome.session_id, number)) return kept;
  return ClientLedger::open(std::move(fd), welcome.session_id, number, clock);
}

// Maps what came with the welcome.
Result<std::shared_ptr<Connection>> assemble(shm::Packet packet, UniqueFd socket, const shm::Welcome& welcome,
                                             bool pollable, const std::shared_ptr<ClientLedger>& kept,
                                             shm::CoarseClock& clock) {
  auto directory = shm::DirectoryReader::open(std::move(packet.fds[0]));
  if (!directory) return std::unexpected(std::move(directory).error());
  if (directory->header().instance_id != welcome.instance_id) {
    return fail(Code::kProtocol, "welcome and directory are of different instances");
  }
  auto doorbell = shm::DoorbellMemory::open(std::move(packet.fds[2]));
  if (!doorbell) return std::unexpected(std::move(doorbell).error());
  if (auto ok = clock.follow(directory->fd()); !ok) return std::unexpected(std::move(ok).error());
  std::optional<shm::LivenessPage> liveness;
  if ((welcome.flags & shm::kWelcomeLiveness) != 0) {
    auto page = shm::LivenessPage::map(packet.fds.back().get(), shm::kSessionCapacity);
    if (page) liveness = std::move(*page);  // else wardend's word has to do
  }
  const std::uint64_t number = next_number();
  auto ledger = ledger_from(std::move(packet.fds[1]), kept, welcome, number, clock);
  if (!ledger) return std::unexpected(std::move(ledger).error());
  Connection::Parts parts{.socket = std::move(socket),
                          .notification = pollable ? std::move(packet.fds[3]) : UniqueFd(),
                          .welcome = welcome,
                          .directory = std::move(*directory),
                          .ledger = std::move(*ledger),
                          .doorbell = std::move(*doorbell),
                          .liveness = std::move(liveness)};
  return std::make_shared<Connection>(number, std::move(parts));
}

std::vector<UniqueFd> both(UniqueFd socket, UniqueFd notification) {
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(socket));
  fds.push_back(std::move(notification));
  return fds;
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
                                                     Clock::time_point deadline, SessionLedgers& ledgers) {
  auto socket = shm::connect_to(path);
  if (!socket) return std::unexpected(std::move(socket).error());
  const std::string doing = "attach to " + path;
  const std::shared_ptr<ClientLedger> kept = ledgers.kept();
  const shm::Hello hello = hello_from(options, kept != nullptr);
  std::vector<int> handed_back;
  if (kept) handed_back.push_back(kept->fd());
  auto sent = shm::send_packet(socket->get(), shm::request_header(shm::MessageKind::kHello, 0),
                               std::as_bytes(std::span(&hello, 1)), {}, handed_back);
  if (!sent) return wrap(busy_if_hung_up(std::move(sent).error()), doing);
  auto packet = shm::receive_packet(socket->get(), left_until(deadline));
  if (!packet) return wrap(busy_if_hung_up(std::move(packet).error()), doing + ": await welcome");
  auto welcome = welcome_of(*packet, options.pollable);
  if (!welcome) return wrap(std::move(welcome).error(), doing);
  auto connection = assemble(std::move(*packet), std::move(*socket), *welcome, options.pollable, kept, ledgers.clock());
  if (!connection) return wrap(std::move(connection).error(), doing);
  return connection;
}

Connection::Connection(std::uint64_t number, Parts parts)
    : number_(number),
      welcome_(parts.welcome),
      fds_(both(std::move(parts.socket), std::move(parts.notification))),
      directory_(std::move(parts.directory)),
      ledger_(std::move(parts.ledger)),
      doorbell_(std::move(parts.doorbell)),
      liveness_(std::move(parts.liveness)) {}

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
  ledger_->acknowledge(reset_id, number_);
  doorbell_.ring(directory_.header().acks_target.load(std::memory_order_acquire));
}

bool Connection::is_alive(std::uint64_t session_id, std::uint32_t slot) const noexcept {
  if (session_id == 0 || slot >= shm::kSessionCapacity) return false;
  const shm::SessionRecord& row = directory_.session(slot);
  // wardend changes rows seldom, and with sequentially consistent stores. The slot's next session has another number.
  const bool is_there =
      row.session_id.load() == session_id && row.state.load() == static_cast<std::uint32_t>(shm::SessionState::kLive);
  return is_there && !(liveness_ && liveness_->is_dead(slot, session_id));
}

std::size_t Connection::living_sessions() const noexcept {
  std::size_t count = 0;
  for (std::uint32_t slot = 0; slot < shm::kSessionCapacity; ++slot) {
    if (is_alive(directory_.session(slot).session_id.load(), slot)) ++count;
  }
  return count;
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
