// SPDX-License-Identifier: Apache-2.0
// The journal: what wardend was about to do, written down before it is done, so that whoever comes after a kill
// finishes or fails the reset. One line a step, each with a checksum; the last whole line counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/wardend/reset_record.h"

namespace warden::daemon {

// Which run of which keeper wrote a step: another one means that the cards were let go meanwhile.
struct Incarnation {
  std::uint64_t instance_id = 0;
  std::string boot_id;
  bool operator==(const Incarnation&) const = default;
};

struct JournalEntry {
  Incarnation writer;
  ResetRecord record;  // phase kIdle: that reset has ended and everybody was told
};

// Threads: one at a time.
class Journal {
 public:
  // `state_directory` exists. Reads what is there, drops a torn tail, keeps the last step only. With kTryLater a
  // journal that can't be written now is no error: each write() tries anew.
  enum class Unwritable : std::uint8_t { kIsAnError, kTryLater };
  [[nodiscard]] static Result<Journal> open(const std::string& state_directory, Incarnation writer,
                                            Unwritable unwritable = Unwritable::kIsAnError);

  // The last step somebody wrote before this object existed.
  [[nodiscard]] const std::optional<JournalEntry>& last() const noexcept { return last_; }
  [[nodiscard]] const Incarnation& writer() const noexcept { return writer_; }

  // On disk when it returns.
  [[nodiscard]] Status write(const ResetRecord& record);

 private:
  Journal(std::string directory, Incarnation writer) : directory_(std::move(directory)), writer_(std::move(writer)) {}
  [[nodiscard]] Status replace_with(const std::string& line);
  std::string directory_;
  Incarnation writer_;
  UniqueFd file_;
  std::size_t size_bytes_ = 0;
  std::optional<JournalEntry> last_;
};

// /proc/sys/kernel/random/boot_id; empty when it can't be read.
[[nodiscard]] std::string boot_id();

// The last whole line of a journal's text; nothing when there is none. What follows it is a torn write.
[[nodiscard]] std::optional<JournalEntry> last_entry_of(const std::string& text);

}  // namespace warden::daemon
