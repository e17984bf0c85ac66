// SPDX-License-Identifier: Apache-2.0
// Next fit over a sorted table.
#include "driver/vfio/iova_allocator.h"

#include <fmt/format.h>

#include <iterator>

namespace warden::vfio {
namespace {

bool is_whole_pages(std::uint64_t size_bytes) { return size_bytes != 0 && size_bytes % IovaAllocator::kPageBytes == 0; }

}  // namespace

IovaAllocator::IovaAllocator(Iova first, std::uint64_t size_bytes) noexcept
    : begin_(first.value), end_(first.value + size_bytes), next_(begin_) {}

// The first place in [begin, end) where so much is free; end: none. The caller has seen that size_bytes <= end - begin.
std::uint64_t IovaAllocator::first_gap(std::uint64_t begin, std::uint64_t end, std::uint64_t size_bytes) const {
  std::uint64_t at = begin;
  auto after = taken_.upper_bound(at);
  if (after != taken_.begin()) {
    const auto& [start, size] = *std::prev(after);
    if (start + size > at) at = start + size;
  }
  for (; at <= end && end - at >= size_bytes; at = after->first + after->second, ++after) {
    if (after == taken_.end() || after->first - at >= size_bytes) return at;
  }
  return end;
}

Result<Iova> IovaAllocator::allocate(std::uint64_t size_bytes) {
  if (!is_whole_pages(size_bytes)) {
    return fail(Code::kInvalidArgument, fmt::format("{} bytes are not a number of whole pages", size_bytes));
  }
  if (size_bytes <= end_ - begin_) {
    std::uint64_t at = first_gap(next_, end_, size_bytes);
    if (at == end_) at = first_gap(begin_, end_, size_bytes);
    if (at != end_) {
      take(at, size_bytes);
      return Iova{at};
    }
  }
  return fail(Code::kBusy, fmt::format("no {} bytes in a row are left of the addresses by which the card reaches the "
                                       "host ({} of {} bytes are taken)",
                                       size_bytes, taken_bytes_, end_ - begin_));
}

bool IovaAllocator::is_free(std::uint64_t begin, std::uint64_t size_bytes) const {
  return first_gap(begin, begin + size_bytes, size_bytes) == begin;
}

Status IovaAllocator::claim(Iova iova, std::uint64_t size_bytes) {
  const bool is_inside = iova.value >= begin_ && iova.value <= end_ && size_bytes <= end_ - iova.value;
  if (!is_whole_pages(size_bytes) || iova.value % kPageBytes != 0 || !is_inside) {
    return fail(Code::kInvalidArgument, fmt::format("no such IOVA range: {:#x}+{:#x}", iova.value, size_bytes));
  }
  if (!is_free(iova.value, size_bytes)) {
    return fail(Code::kBusy, fmt::format("IOVA range {:#x}+{:#x} is taken", iova.value, size_bytes));
  }
  take(iova.value, size_bytes);
  return {};
}

void IovaAllocator::take(std::uint64_t begin, std::uint64_t size_bytes) {
  taken_.emplace(begin, size_bytes);
  taken_bytes_ += size_bytes;
  next_ = begin + size_bytes;
}

void IovaAllocator::free(Iova iova) noexcept {
  const auto found = taken_.find(iova.value);
  if (found == taken_.end()) return;
  taken_bytes_ -= found->second;
  taken_.erase(found);
}

}  // namespace warden::vfio
