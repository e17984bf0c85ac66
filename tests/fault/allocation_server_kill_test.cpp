// SPDX-License-Identifier: Apache-2.0
// The worker killed while unmodified clients allocate: no message is lost and none counts twice.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "tests/support/allocation_peer.h"
#include "tests/support/rounds.h"

namespace warden::test {
namespace {

constexpr int kHosts = rounds(8, 3);
constexpr int kKillsOfHost = 9;  // more in a short time, and the keeper gives up
constexpr int kClients = 3;
constexpr int kMessages = 30'000;
constexpr int kGreetingDevice = 99;  // each client's first record is there

std::size_t form_of(int client) { return client % 2 == 0 ? 112 : 144; }

AllocationFields nth_message(int client, int number) {
  std::mt19937 random(static_cast<std::uint32_t>(client * 1'000'003 + number));
  const std::uint64_t id = random() % 300;  // the same in every client
  const auto device = static_cast<std::int32_t>(random() % 2);
  switch (random() % 6) {
    case 0:
    case 1: return {.type = kFree, .device = device, .buffer_id = id};
    case 2: return {.type = kCbAlloc, .device = device, .size = 64, .buffer_id = id};
    case 3: return {.type = kCbFree, .device = device, .size = 64, .buffer_id = id};
    default: return {.type = kAlloc, .device = device, .size = 1000 + id, .buffer_id = id};
  }
}

// References by message type, device and id.
using References = std::map<std::tuple<int, int, std::uint64_t>, std::uint64_t>;

References model_of(int client) {
  References references = {{{kAlloc, kGreetingDevice, 1}, 1}};
  for (int number = 0; number < kMessages; ++number) {
    const AllocationFields fields = nth_message(client, number);
    const bool is_buffer = fields.type == kAlloc || fields.type == kFree;
    const std::tuple key{int{is_buffer ? kAlloc : kCbAlloc}, int{fields.device}, fields.buffer_id};
    if (fields.type == kAlloc || fields.type == kCbAlloc) {
      ++references[key];
    } else if (const auto known = references.find(key); known != references.end() && --known->second == 0) {
      references.erase(known);
    }
  }
  return references;
}

// Asks until told to stop; every answer that comes is one to this question.
void ask_all_the_time(const AllocationHost& host, std::int32_t device, const std::atomic<bool>& stop, int& answers) {
  while (!stop) {
    AllocationPeer peer(host.path(), 144);
    while (!stop) {
      const auto reply = peer.ask({.type = kQuery, .device = device});
      if (!reply) break;  // cut off by a kill
      ASSERT_EQ(reply->type(), kResponse);
      ASSERT_EQ(reply->device(), device);
      ++answers;
    }
  }
}

// A worker killed between letting somebody in and telling the keeper cuts that one off: the first kill comes later.
bool wait_until_all_are_in(const AllocationHost& host) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  AllocationPeer peer(host.path(), 144);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto reply = peer.ask({.type = kQuery, .device = kGreetingDevice});
    if (reply && reply->u64(40) == kClients) return true;
  }
  return false;
}

void kill_at_random(AllocationHost& host, std::mt19937& random) {
  int last = 0;
  for (int kill = 0; kill < kKillsOfHost; ++kill) {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    int worker = 0;
    while ((worker = host.worker_pid()) == last || worker <= 1) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << host.daemon().output();
    }
    ::usleep(static_cast<useconds_t>(random() % 20'000));
    ASSERT_EQ(::kill(worker, SIGKILL), 0);
    last = worker;
  }
  // Whoever is let in by a worker that is being killed is cut off: the next one must be there.
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (host.worker_pid() == last) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
}

TEST(AllocationKilled, NothingIsLostNothingIsDouble) {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < kHosts; ++round) {
    AllocationHost host;
    std::vector<std::unique_ptr<ClientProcess>> clients;
    for (int client = 0; client < kClients; ++client) {
      clients.push_back(std::make_unique<ClientProcess>([&, client] {
        AllocationPeer peer(host.path(), form_of(client));
        (void)peer.send({.type = kAlloc, .device = kGreetingDevice, .size = 1, .buffer_id = 1});
        for (int number = 0; number < kMessages; ++number) {
          AllocationFields fields = nth_message(client, number);
          fields.process_id = ::getpid();
          if (!peer.send(fields)) ::_exit(1);
        }
      }));
    }
    ASSERT_TRUE(wait_until_all_are_in(host));
    std::atomic<bool> stop{false};
    int answers = 0;
    std::thread asker([&] { ask_all_the_time(host, 17, stop, answers); });
    kill_at_random(host, random);
    for (const auto& client : clients) EXPECT_TRUE(client->wait_until_done()) << "it was cut off";
    stop = true;
    asker.join();
    EXPECT_GT(answers, 0);

    std::map<int, References> found;
    const AllocationDump dump = host.dump();
    ASSERT_TRUE(dump.end) << host.daemon().output();
    for (const AllocationReply& record : dump.records) {
      found[record.process_id()][{record.type(), record.device(), record.buffer_id()}] = record.u64(40);
    }
    for (int client = 0; client < kClients; ++client) {
      ASSERT_EQ(found[clients[static_cast<std::size_t>(client)]->pid()], model_of(client)) << "round " << round;
    }
    clients.clear();
    EXPECT_TRUE(host.dump().records.empty());
  }
}

// A client that dies while no worker lives is gone when the next one answers.
TEST(AllocationKilled, DeathsBetweenWorkers) {
  AllocationHost host;
  for (int round = 0; round < 5; ++round) {
    ClientProcess client([&] {
      AllocationPeer peer(host.path(), 144);
      peer.send({.type = kAlloc, .size = 1, .buffer_id = 1});
      (void)peer.ask({.type = kQuery});
    });
    ASSERT_TRUE(client.wait_until_done());
    host.replace_worker();
    client.kill();
    const AllocationDump dump = host.dump();
    ASSERT_TRUE(dump.end) << host.daemon().output();
    EXPECT_TRUE(dump.records.empty());
  }
}

}  // namespace
}  // namespace warden::test
