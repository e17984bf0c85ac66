// SPDX-License-Identifier: Apache-2.0
// warden-vm-ask REQUEST...: inside the guest, has the host do something. Status 0 when it is done.
#include <cstdio>

#include <fmt/format.h>

#include "tests/vm/guest_host.h"

int main(int count, char** arguments) {
  if (count < 2) {
    fmt::print(stderr, "usage: warden-vm-ask sim WORD... | qmp COMMAND [JSON] | await EVENT [DEVICE]\n");
    return 2;
  }
  const auto answer = warden::vm::ask_host({arguments + 1, arguments + count});
  if (!answer) {
    fmt::print(stderr, "warden-vm-ask: {}\n", answer.error().message);
    return 1;
  }
  fmt::print("{}", *answer);
  return 0;
}
