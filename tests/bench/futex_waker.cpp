// SPDX-License-Identifier: Apache-2.0
// One listener on a bare futex word.
#include "tests/bench/child.h"
#include "tests/bench/futex_word.h"
#include "tests/bench/measure.h"
#include "tests/bench/shared_page.h"
#include "tests/bench/wakers.h"

namespace warden::bench {

namespace {

void listen_for_ever(const FutexWord& word, Heard& heard) {
  std::uint32_t seen = word.load();
  heard.ready.store(1);
  for (;;) {
    bare_wait(word, seen);
    const std::uint32_t now = word.load();
    if (now == seen) continue;
    heard.time_ns.store(now_ns());
    seen = now;
  }
}

class FutexWaker final : public Waker {
 public:
  FutexWaker(SharedWord word, SharedPage<Heard> heard, Child listener)
      : word_(std::move(word)), heard_(std::move(heard)), listener_(std::move(listener)) {}

  Status wake() override {
    word_.writable().fetch_add(1);
    bare_wake_all(word_.writable());
    return {};
  }
  Status rest() override { return wake(); }
  Heard& heard() noexcept override { return *heard_.get(); }

 private:
  SharedWord word_;
  SharedPage<Heard> heard_;
  Child listener_;
};

}  // namespace

Result<std::unique_ptr<Waker>> futex_waker() {
  auto word = SharedWord::make();
  if (!word) return std::unexpected(std::move(word).error());
  auto heard = SharedPage<Heard>::make();
  if (!heard) return std::unexpected(std::move(heard).error());
  auto listener = Child::fork([&] { listen_for_ever(word->readable(), *heard->get()); });
  if (!listener) return std::unexpected(std::move(listener).error());
  if (auto ok = await("futex listener", [&] { return (*heard)->ready.load() != 0; }); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  return std::make_unique<FutexWaker>(std::move(*word), std::move(*heard), std::move(*listener));
}

}  // namespace warden::bench
