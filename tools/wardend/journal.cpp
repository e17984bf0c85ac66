// SPDX-License-Identifier: Apache-2.0
// The journal: appended to, synced at every step, made short again now and then.
#include "tools/wardend/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/crc.hpp>
#include <nlohmann/json.hpp>

#include "tools/wardend/files.h"

namespace warden::daemon {

namespace {

using nlohmann::json;

// Beyond this the journal is replaced by its last line instead of growing.
constexpr std::size_t kCompactAboveBytes = 1 << 20;
constexpr std::size_t kChecksumDigits = 8;

std::uint32_t checksum_of(std::string_view text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return crc.checksum();
}

std::string line_of(const Incarnation& writer, const ResetRecord& record) {
  const json entry = {{"instance", writer.instance_id}, {"boot", writer.boot_id}, {"record", to_json(record)}};
  const std::string text = entry.dump(-1, ' ', false, json::error_handler_t::replace);
  return fmt::format("{:08x} {}\n", checksum_of(text), text);
}

std::optional<JournalEntry> entry_of(std::string_view line) {
  if (line.size() < kChecksumDigits + 2 || line[kChecksumDigits] != ' ') return std::nullopt;
  const std::string_view text = line.substr(kChecksumDigits + 1);
  if (line.substr(0, kChecksumDigits) != fmt::format("{:08x}", checksum_of(text))) return std::nullopt;
  const json entry = json::parse(text, nullptr, false);
  if (entry.is_discarded() || !entry.contains("record")) return std::nullopt;
  Result<ResetRecord> record = record_from_json(entry["record"]);
  if (!record) return std::nullopt;
  return JournalEntry{{entry.value("instance", std::uint64_t{0}), entry.value("boot", std::string())},
                      std::move(*record)};
}

}  // namespace

std::string boot_id() {
  Result<std::string> text = read_file("/proc/sys/kernel/random/boot_id");
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return std::move(*text);
}

std::optional<JournalEntry> last_entry_of(const std::string& text) {
  // From the end: the first line that is whole and true is the last step taken.
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t line_end = text.rfind('\n', end - 1);
    if (line_end == std::string::npos) return std::nullopt;
    const std::size_t before = line_end == 0 ? std::string::npos : text.rfind('\n', line_end - 1);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    if (auto entry = entry_of(std::string_view(text).substr(begin, line_end - begin))) return entry;
    end = begin;
  }
  return std::nullopt;
}

Result<Journal> Journal::open(const std::string& state_directory, Incarnation writer, Unwritable unwritable) {
  Journal journal(state_directory, std::move(writer));
  Result<std::string> text = read_file(state_directory + "/journal");
  if (!text && text.error().code != Code::kNotFound) return wrap(std::move(text).error(), "journal");
  if (text) journal.last_ = last_entry_of(*text);
  const std::string line = journal.last_ ? line_of(journal.last_->writer, journal.last_->record) : std::string();
  Status replaced = journal.replace_with(line);
  if (!replaced && unwritable == Unwritable::kIsAnError) return std::unexpected(std::move(replaced).error());
  if (!replaced) {
    spdlog::error("{}; resets are refused until it can be written", replaced.error().message);
    journal.size_bytes_ = kCompactAboveBytes + 1;  // the next write makes the file anew
  }
  return journal;
}

Status Journal::write(const ResetRecord& record) {
  const std::string line = line_of(writer_, record);
  if (size_bytes_ > kCompactAboveBytes) return replace_with(line);
  if (Status written = write_all(file_.get(), line); !written) {
    // Half a line may be there: the next step must not be appended to it.
    size_bytes_ = kCompactAboveBytes + 1;
    return wrap(written.error(), "journal in " + directory_);
  }
  if (::fdatasync(file_.get()) != 0) return fail_errno("sync the journal in " + directory_);
  size_bytes_ += line.size();
  return {};
}

Status Journal::replace_with(const std::string& line) {
  Result<UniqueFd> file = replace_file(directory_ + "/journal", line);
  if (!file) return wrap(std::move(file).error(), "journal");
  file_ = std::move(*file);
  size_bytes_ = line.size();
  return {};
}

}  // namespace warden::daemon
