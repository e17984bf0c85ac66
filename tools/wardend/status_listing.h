// SPDX-License-Identifier: Apache-2.0
// wardend about itself, as JSON text.
#pragma once

#include <string>

#include "shm/directory.h"
#include "tools/wardend/allocation_listing.h"
#include "tools/wardend/allocation_server.h"
#include "tools/wardend/cleaner.h"
#include "tools/wardend/options.h"

namespace warden::daemon {

struct StatusSources {
  const Options& options;
  shm::DirectoryWriter& directory;
  AllocationSources allocations;
  const Cleaner& cleaner;
  const AllocationServer* server;  // null: no bridge
};

[[nodiscard]] std::string status_listing(const StatusSources& sources);

}  // namespace warden::daemon
