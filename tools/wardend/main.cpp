// SPDX-License-Identifier: Apache-2.0
// wardend: owns the cards of a host and resets them in agreement with everybody who uses them.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "driver/vfio/fault_handler.h"
#include "shm/socket.h"
#include "tools/wardend/keeper.h"
#include "tools/wardend/options.h"
#include "tools/wardend/service_manager.h"
#include "tools/wardend/state_directory.h"
#include "tools/wardend/worker.h"

namespace warden::daemon {
namespace {

void set_up_logging(const std::string& level) {
  auto logger = spdlog::stderr_logger_mt("wardend");
  logger->set_pattern("wardend[%P] %l: %v");  // the journal has its own clock
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

// Five descriptors a session, in two processes.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

Status check_devices(const Options& options) {
  std::set<std::string> names;
  for (const std::string& name : options.devices) {
    if (!names.insert(name).second) {
      return fail(Code::kInvalidArgument, fmt::format("device {} is given twice; give each --device once", name));
    }
  }
  if (names.size() <= shm::kDeviceCapacity) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("{} devices are more than the {} one wardend keeps", names.size(), shm::kDeviceCapacity));
}

Result<int> serve(const Options& options) {
  if (Status checked = check_devices(options); !checked) return std::unexpected(checked.error());
  Result<UniqueFd> state = lock_state_directory(options.state_directory, options.default_state_directory);
  if (!state) return std::unexpected(std::move(state).error());
  Result<UniqueFd> listening = shm::listen_at(options.socket_path);
  if (!listening) return wrap(std::move(listening).error(), "--socket");
  Result<shm::DirectoryWriter> directory = shm::DirectoryWriter::create();
  if (!directory) return wrap(std::move(directory).error(), "directory");
  Result<shm::DoorbellMemory> doorbell = shm::DoorbellMemory::create();
  if (!doorbell) return wrap(std::move(doorbell).error(), "doorbell");

  const auto watchdog = watchdog_interval();
  Keeper keeper(std::move(*directory), std::move(*doorbell), [&](Inheritance inheritance) {
    Worker worker({options, listening->get(), watchdog, inheritance});
    return worker.run();
  });
  const int status = keeper.run();
  ::unlink(options.socket_path.c_str());
  return status;
}

int run(int argc, char** argv) {
  const auto parsed = parse_options(argc, argv);
  if (const int* status = std::get_if<int>(&parsed)) return *status;
  const auto& options = std::get<Options>(parsed);
  ::signal(SIGPIPE, SIG_IGN);
  set_up_logging(options.log_level);
  // A card that goes away under an access costs that access, not the daemon. Elsewhere than on x86-64 it does.
  if (const Status survived = vfio::survive_faults(); !survived) spdlog::debug("{}", survived.error().message);
  allow_many_descriptors();
  const Result<int> status = serve(options);
  if (status) return *status;
  fmt::print(stderr, "wardend: {}\n", status.error().message);
  return 1;
}

}  // namespace
}  // namespace warden::daemon

int main(int argc, char** argv) { return warden::daemon::run(argc, argv); }
