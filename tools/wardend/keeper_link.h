// SPDX-License-Identifier: Apache-2.0
// What the worker says to its keeper: keep these descriptors and this blob under a name, or drop them. One packet a
// message over a SOCK_SEQPACKET socketpair; what was sent survives the sender's SIGKILL in the kernel's queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::daemon {

inline constexpr std::size_t kMaxKeptFds = 16;
inline constexpr std::size_t kMaxKeptNameBytes = 64;
inline constexpr std::size_t kMaxBlobBytes = 48 * 1024;

struct Kept {
  std::string blob;
  std::vector<UniqueFd> fds;
};
// A forked worker finds its copy of this table filled: the descriptors are its own.
using KeptTable = std::map<std::string, Kept, std::less<>>;

// The worker's end. Threads: any. Blocks only while the keeper is slower than its queue is long; an error means that
// the keeper is gone.
class KeeperLink {
 public:
  explicit KeeperLink(UniqueFd socket) noexcept : socket_(std::move(socket)) {}

  // Replaces blob and descriptors; without descriptors, those kept under this name stay.
  [[nodiscard]] Status keep(std::string_view name, std::string_view blob, std::span<const int> fds = {});
  [[nodiscard]] Status drop(std::string_view name);

 private:
  [[nodiscard]] Status send(std::uint32_t operation, std::string_view name, std::string_view blob,
                            std::span<const int> fds);
  UniqueFd socket_;
};

struct KeeperLinkEnds {
  UniqueFd keeper;
  UniqueFd worker;
};
[[nodiscard]] Result<KeeperLinkEnds> make_keeper_link();

// The keeper's end: takes every message that is there now. False: the worker has hung up and the queue is empty.
// Messages that make no sense are passed over: a keeper has nobody to complain to and must not die.
[[nodiscard]] bool drain_keeper_link(int socket, KeptTable& table);

}  // namespace warden::daemon
