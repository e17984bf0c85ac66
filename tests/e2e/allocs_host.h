// SPDX-License-Identifier: Apache-2.0
// A wardend with a card and an allocation server, and processes that hold something.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <warden/allocation_ledger.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/allocation_peer.h"
#include "tests/support/host.h"

namespace warden::test {

class AllocsHost : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start_simulator() && host_.start_daemon({"--allocation-server", bridge_path()})) << host_.why();
  }

  [[nodiscard]] std::string bridge_path() const { return host_.directory() + "/a.sock"; }

  // A process of libwarden that has recorded `count` buffers of 1 MB in L1 of card 0, until it is killed.
  [[nodiscard]] std::unique_ptr<ClientProcess> holder(std::uint64_t count) const {
    auto process = std::make_unique<ClientProcess>([this, count] {
      AttachOptions options;
      options.socket_path = host_.socket_path();
      options.name = "holder";
      const auto session = Session::attach(options);
      if (!session) ::_exit(1);
      static std::unique_ptr<AllocationLedger> ledger;  // outlives the work
      ledger = std::move(*AllocationLedger::open(*session));
      for (std::uint64_t i = 0; i < count; ++i) {
        if (!ledger->record(0, AllocationKind::kL1, i << 20, 1 << 20, i, {.label = "weights"})) ::_exit(1);
      }
    });
    EXPECT_TRUE(process->wait_until_done());
    return process;
  }

  // An unmodified client of the allocation server, with one buffer of 2 MB.
  [[nodiscard]] std::unique_ptr<ClientProcess> bridged() const {
    auto process = std::make_unique<ClientProcess>([this] {
      AllocationPeer peer(bridge_path(), 144);
      peer.send({.type = kAlloc, .device = 0, .size = 2 << 20, .buffer_type = 0, .buffer_id = 64});
      (void)peer.ask({.type = kQuery});
    });
    EXPECT_TRUE(process->wait_until_done());
    return process;
  }

  // `warden allocs --json` and these arguments.
  [[nodiscard]] nlohmann::json listing(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {"allocs", "--json"});
    Process warden = host_.run("warden", std::move(arguments));
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    return nlohmann::json::parse(warden.out());
  }

  Host host_;
};

}  // namespace warden::test
