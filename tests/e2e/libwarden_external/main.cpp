// SPDX-License-Identifier: Apache-2.0
// Uses every public header, and says why it could not attach.
#include <warden/device.h>
#include <warden/listener.h>
#include <warden/reset.h>
#include <warden/session.h>
#include <warden/tile.h>
#include <warden/unique_fd.h>

#include <cstdio>

int main() {
  const auto session = warden::Session::attach();
  if (!session) {
    std::puts(session.error().message.c_str());
    return 1;
  }
  auto device = warden::Device::open(*session, "0");
  const auto listener = warden::Listener::start(*session, {});
  const auto report = warden::warm_reset(**session);
  return device && listener && report ? 0 : 2;
}
