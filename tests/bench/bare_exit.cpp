// SPDX-License-Identifier: Apache-2.0
// See bare_exit.h.
#include "tests/bench/bare_exit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <warden/unique_fd.h>

#include "bare_exit.skel.h"

namespace warden::bench {

namespace {

constexpr int kBoundMs = 60'000;
constexpr std::size_t kPageBytes = 4096;

struct Destroyer {
  void operator()(bare_exit* skeleton) const noexcept { bare_exit::destroy(skeleton); }
  void operator()(ring_buffer* ring) const noexcept { ring_buffer__free(ring); }
};
using Skeleton = std::unique_ptr<bare_exit, Destroyer>;
using Ring = std::unique_ptr<ring_buffer, Destroyer>;

int count_event(void* count, void*, std::size_t) {
  ++*static_cast<int*>(count);
  return 0;
}

class LoadedBareExit final : public BareExit {
 public:
  LoadedBareExit(Skeleton skeleton, std::atomic<std::uint64_t>* words)
      : skeleton_(std::move(skeleton)),
        words_(words),
        ring_(ring_buffer__new(bpf_map__fd(skeleton_->maps.events), count_event, &events_, nullptr)) {}
  ~LoadedBareExit() override { ::munmap(words_, kPageBytes); }

  void await(pid_t pid) override {
    ring_buffer__consume(ring_.get());
    events_ = 0;
    words_[1].store(0);
    words_[0].store(static_cast<std::uint64_t>(pid));
  }
  std::uint64_t seen_ns() const noexcept override { return words_[1].load(std::memory_order_relaxed); }
  Status sleep_until_event() override {
    while (events_ == 0) {
      if (ring_buffer__poll(ring_.get(), kBoundMs) <= 0) return fail(Code::kTimeout, "no event of an exit came");
    }
    return {};
  }

 private:
  Skeleton skeleton_;
  std::atomic<std::uint64_t>* words_;
  int events_ = 0;
  Ring ring_;
};

}  // namespace

Result<std::unique_ptr<BareExit>> BareExit::load() {
  Skeleton skeleton(bare_exit::open_and_load());
  if (!skeleton) return fail_errno("load a bare exit program");
  if (const int error = bare_exit::attach(skeleton.get()); error != 0) {
    return fail_errno("attach a bare exit program", -error);
  }
  const int words_fd = bpf_map__fd(skeleton->maps.words);
  void* words = ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, words_fd, 0);
  if (words == MAP_FAILED) return fail_errno("map the words of a bare exit program");
  return std::make_unique<LoadedBareExit>(std::move(skeleton), static_cast<std::atomic<std::uint64_t>*>(words));
}

Status sleep_until_readable(int fd) {
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  if (::epoll_wait(epoll.get(), &event, 1, kBoundMs) != 1) return fail(Code::kTimeout, "nothing became readable");
  return {};
}

}  // namespace warden::bench
