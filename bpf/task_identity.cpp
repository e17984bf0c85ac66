// SPDX-License-Identifier: Apache-2.0
// One run of the task iterator over one process.
#include "bpf/task_identity.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <warden/unique_fd.h>

#include "bpf/pidfd_set.h"

namespace warden::bpf {

Result<std::optional<TaskIdentity>> identify_task(int program, int pidfd) {
  bpf_iter_link_info target{};
  target.task.pid_fd = static_cast<__u32>(pidfd);
  bpf_link_create_opts options{};
  options.sz = sizeof(options);
  options.iter_info = &target;
  options.iter_info_len = sizeof(target);
  TaskIdentity identity{};
  ssize_t len_bytes = 0;
  if (const UniqueFd link(bpf_link_create(program, 0, BPF_TRACE_ITER, &options)); link) {
    const UniqueFd run(bpf_iter_create(link.get()));
    if (!run) return fail_errno("run the task iterator");
    len_bytes = ::read(run.get(), &identity, sizeof(identity));
    if (len_bytes < 0) return fail_errno("read the task iterator");
  } else if (!is_readable(pidfd)) {
    return fail_errno("bind the task iterator");
  }
  // The kernel goes by the number behind the pidfd: it was this process's own only if it still has it.
  if (is_readable(pidfd)) return std::nullopt;
  if (len_bytes != sizeof(identity)) return fail(Code::kIo, "the task iterator did not find a living process");
  return identity;
}

}  // namespace warden::bpf
