// SPDX-License-Identifier: Apache-2.0
// What a test inside the guest can have done by the host: pull a card out, break the simulator, let a card interrupt.
// Also as a program, warden-vm-ask. docs/virtual-machine.md lists the requests.
#pragma once

#include <string>
#include <vector>

#include <warden/result.h>

namespace warden::vm {

// Carried out when it returns, with whatever the host had to say; kTimeout after 90 s, kFailed with the host's reason,
// kUnsupported outside the guest. Any thread, any process.
[[nodiscard]] Result<std::string> ask_host(const std::vector<std::string>& request);

}  // namespace warden::vm
