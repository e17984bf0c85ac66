// SPDX-License-Identifier: Apache-2.0
// The last resets that ended, with their tokens: in memory, and a file each in the state directory, so that a new
// worker answers for what its predecessor did.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include <warden/result.h>

#include "tools/wardend/reset_record.h"

namespace warden::daemon {

inline constexpr std::size_t kStoredReports = 64;

// Threads: any.
class ReportStore {
 public:
  explicit ReportStore(std::string state_directory);

  // Storing the same reset again replaces it. An error says why it is not on disk; in memory it is.
  [[nodiscard]] Status store(const ResetRecord& record);
  [[nodiscard]] std::optional<ResetRecord> find(std::uint64_t reset_id) const;
  [[nodiscard]] std::optional<std::uint64_t> id_of_token(std::uint64_t token) const;
  // 0 when there is none.
  [[nodiscard]] std::uint64_t newest_id() const;

 private:
  void load();
  void forget_oldest();
  [[nodiscard]] std::string path_of(std::uint64_t reset_id) const;
  std::string directory_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, ResetRecord> records_;
};

}  // namespace warden::daemon
