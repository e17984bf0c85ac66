// SPDX-License-Identifier: Apache-2.0
// Sums and walks over the books.
#include "tools/wardend/allocation_answers.h"

#include <array>
#include <cstring>

namespace warden::daemon {
namespace {

using KindBytes = std::array<std::uint64_t, kAllocationKinds>;

constexpr std::size_t index(AllocationKind kind) { return static_cast<std::size_t>(kind); }

// Host memory has no field of its own, and belongs to none that there is.
void set_totals(AllocationAnswer& answer, const KindBytes& bytes) {
  answer.words = {bytes[index(AllocationKind::kDram)], bytes[index(AllocationKind::kL1)],
                  bytes[index(AllocationKind::kL1Small)], bytes[index(AllocationKind::kTrace)]};
  answer.cb_bytes = bytes[index(AllocationKind::kCircularBuffer)];
  answer.kernel_bytes = bytes[index(AllocationKind::kKernel)];
}

AllocationMessageType type_of(const AllocationRecord& record) {
  switch (static_cast<AllocationSpace>(record.space)) {
    case AllocationSpace::kCb: return AllocationMessageType::kCbAlloc;
    case AllocationSpace::kKernel: return AllocationMessageType::kKernelLoad;
    default: return AllocationMessageType::kAlloc;
  }
}

AllocationAnswer answer_of(const AllocationClient& client, const AllocationRecord& record) {
  std::array<char, 16> name{};
  client.name.copy(name.data(), name.size() - 1);
  AllocationAnswer answer{.type = type_of(record),
                          .device = record.device,
                          .size_bytes = record.size_bytes,
                          .buffer_type = record.kind,
                          .process_id = client.shown_pid(),
                          .buffer_id = record.buffer_id,
                          .timestamp = record.timestamp,
                          .words = {record.references, static_cast<std::uint32_t>(record.reported_pid), 0, 0}};
  std::memcpy(&answer.words[2], name.data(), name.size());
  return answer;
}

void append(std::string& out, const AllocationAnswer& answer, std::size_t message_bytes) {
  const auto bytes = encode_allocation_answer(answer, message_bytes);
  out.append(reinterpret_cast<const char*>(bytes.data()), message_bytes);
}

// Where a walk over all books stands.
struct Dump {
  std::uint64_t client_id = 0;
  std::uint32_t place = 0;
  std::uint64_t records = 0;
  KindBytes bytes{};

  [[nodiscard]] bool append_next(const AllocationClients& clients, std::string& out, std::size_t message_bytes) {
    for (auto client = clients.all().lower_bound(client_id); client != clients.all().end(); ++client) {
      if (client->first != client_id) place = 0;
      client_id = client->first;
      const auto record = client->second.book.next(place);
      if (!record) continue;
      append(out, answer_of(client->second, *record), message_bytes);
      ++records;
      bytes.at(record->kind) += record->bytes();
      return true;
    }
    AllocationAnswer end{.device = -1, .size_bytes = records};
    set_totals(end, bytes);
    append(out, end, message_bytes);
    return false;
  }
};

}  // namespace

AllocationAnswer answer_query(const AllocationClients& clients, std::int32_t device) {
  KindBytes bytes{};
  for (const auto& [id, client] : clients.all()) {
    const auto& by_device = client.book.sums().bytes_by_device;
    const auto of_device = by_device.find(device);
    if (of_device == by_device.end()) continue;
    for (std::size_t kind = 0; kind < kAllocationKinds; ++kind) bytes.at(kind) += of_device->second.at(kind);
  }
  AllocationAnswer answer{.device = device};
  set_totals(answer, bytes);
  return answer;
}

AllocationAnswer answer_device_info(const std::vector<AllocationDevice>& devices, std::int32_t device) {
  AllocationAnswer answer{.type = AllocationMessageType::kDeviceInfoResponse, .device = device};
  answer.device_count = static_cast<std::uint32_t>(devices.size());
  if (device == -1) answer.is_available = devices.empty() ? 0 : 1;
  if (device < 0 || static_cast<std::size_t>(device) >= devices.size()) return answer;
  const AllocationDevice& card = devices[static_cast<std::size_t>(device)];
  answer.is_available = card.is_available ? 1 : 0;
  answer.arch = card.arch;
  answer.dram_channels = card.dram_channels;
  answer.dram_per_channel_bytes = card.dram_per_channel_bytes;
  answer.l1_per_core_bytes = card.l1_per_core_bytes;
  answer.total_dram_bytes = std::uint64_t{card.dram_channels} * card.dram_per_channel_bytes;
  answer.total_l1_bytes = std::uint64_t{card.cores} * card.l1_per_core_bytes;
  return answer;
}

AllocationConnection::Producer dump_producer(const AllocationClients& clients, std::size_t message_bytes) {
  return [&clients, message_bytes, dump = Dump()](std::string& out) mutable {
    return dump.append_next(clients, out, message_bytes);
  };
}

AllocationConnection::Producer single_producer(const AllocationAnswer& answer, std::size_t message_bytes) {
  return [answer, message_bytes](std::string& out) {
    append(out, answer, message_bytes);
    return false;
  };
}

}  // namespace warden::daemon
