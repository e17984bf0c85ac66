// SPDX-License-Identifier: Apache-2.0
// The public face of the allocation table: checks and errors around the writer of shm/.
#include <warden/allocation_ledger.h>

#include <string>

#include "tools/libwarden/client.h"
#include "tools/libwarden/client_ledger.h"
#include "tools/libwarden/fork_guard.h"

namespace warden {

namespace {

// Errors are rare, and their texts must not be in the way of what is not.
[[gnu::cold, gnu::noinline]] std::unexpected<Error> of_a_parent() {
  return fail(Code::kDisconnected, "this process was forked from the one that attached; attach anew");
}
[[gnu::cold, gnu::noinline]] std::unexpected<Error> invalid(std::uint32_t device, AllocationKind kind,
                                                            KernelKind kernel_kind) {
  return fail(Code::kInvalidArgument, "allocation on device " + std::to_string(device) + ", of kind " +
                                          std::to_string(static_cast<unsigned>(kind)) + " and kind of kernel " +
                                          std::to_string(static_cast<unsigned>(kernel_kind)) + "; there are " +
                                          std::to_string(kAllocationDevices) + ", " + std::to_string(kAllocationKinds) +
                                          " and " + std::to_string(kKernelKinds));
}
[[gnu::cold, gnu::noinline]] std::unexpected<Error> full() {
  return fail(Code::kBusy, "the ledger holds " + std::to_string(shm::kAllocationCapacity) +
                               " allocations and takes no more; release some, or use another process");
}
[[gnu::cold, gnu::noinline]] std::unexpected<Error> not_live() {
  return fail(Code::kStale, "no live allocation of this ledger has this handle; release each one once");
}

}  // namespace

class AllocationLedger::Implementation {
 public:
  explicit Implementation(std::shared_ptr<Session> session)
      : session_(std::move(session)),
        ledgers_(session_->client().ledgers()),
        fork_generation_(internal::fork_generation()) {}

  [[nodiscard]] bool is_forked() const noexcept { return internal::fork_generation() != fork_generation_; }
  [[nodiscard]] const internal::SessionLedgers& ledgers() const noexcept { return ledgers_; }
  [[nodiscard]] internal::Client& client() const noexcept { return session_->client(); }

 private:
  const std::shared_ptr<Session> session_;
  const internal::SessionLedgers& ledgers_;
  const unsigned fork_generation_;
};

AllocationSum AllocationTotals::all() const noexcept {
  AllocationSum sum;
  for (const auto& device : cells) {
    for (const AllocationSum& more : device) {
      sum.count += more.count;
      sum.bytes += more.bytes;
    }
  }
  return sum;
}

AllocationLedger::AllocationLedger(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)), writer_now_(&implementation_->ledgers().writer_now()) {}

AllocationLedger::~AllocationLedger() = default;

Result<std::unique_ptr<AllocationLedger>> AllocationLedger::open(std::shared_ptr<Session> session) {
  if (auto ok = session->client().check_process(); !ok) return std::unexpected(std::move(ok).error());
  return std::unique_ptr<AllocationLedger>(new AllocationLedger(std::make_unique<Implementation>(std::move(session))));
}

Result<AllocationHandle> AllocationLedger::record_seldom(std::uint32_t device, AllocationKind kind,
                                                         std::uint64_t address, std::uint64_t size_bytes,
                                                         std::uint64_t tag, const AllocationOptions& options) noexcept {
  if (implementation_->is_forked()) [[unlikely]]
    return of_a_parent();
  const bool is_valid = device < kAllocationDevices && static_cast<unsigned>(kind) < kAllocationKinds &&
                        static_cast<unsigned>(options.kernel_kind) < kKernelKinds;
  if (!is_valid) [[unlikely]]
    return invalid(device, kind, options.kernel_kind);
  internal::ClientLedger& ledger = implementation_->ledgers().now();
  const auto ticket = ledger.allocations().record({.device = device,
                                                   .kind = kind,
                                                   .kernel_kind = options.kernel_kind,
                                                   .address = address,
                                                   .size_bytes = size_bytes,
                                                   .tag = tag,
                                                   .label = {options.label.data(), options.label.size()}});
  if (!ticket) [[unlikely]]
    return full();
  return AllocationHandle{ticket.value};
}

Status AllocationLedger::release_seldom(AllocationHandle handle) noexcept {
  if (implementation_->is_forked()) [[unlikely]]
    return of_a_parent();
  internal::ClientLedger& ledger = implementation_->ledgers().now();
  if (!ledger.allocations().release({handle.value})) [[unlikely]]
    return not_live();
  return {};
}

Result<AllocationTotals> AllocationLedger::totals() {
  if (implementation_->is_forked()) return of_a_parent();
  const auto read = implementation_->ledgers().now().reader().totals();
  if (!read) return std::unexpected(read.error());
  AllocationTotals totals;
  totals.cells = read->cells;
  totals.dropped = read->dropped;
  totals.lost = implementation_->ledgers().lost_count();
  totals.settled = read->settled;
  return totals;
}

Status AllocationLedger::reattach() {
  const auto connection = implementation_->client().live_connection();
  if (!connection) return std::unexpected(connection.error());
  return {};
}

}  // namespace warden
