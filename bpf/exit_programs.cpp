// SPDX-License-Identifier: Apache-2.0
// Loading by way of the skeleton, which is thrown away afterwards: only descriptors stay.
#include "bpf/exit_programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "exit_watch.skel.h"

namespace warden::bpf {

namespace {

constexpr ino_t kInitialPidNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO of include/linux/proc_ns.h
constexpr std::size_t kFdCount = 7;

struct Closer {
  void operator()(exit_watch* skeleton) const noexcept { exit_watch::destroy(skeleton); }
  void operator()(btf* types) const noexcept { btf__free(types); }
};

std::unexpected<Error> refused(const std::string& doing, int error_number) {
  auto error = fail_errno(doing, error_number);
  if (error.error().code == Code::kPermission) error.error().message += " (needs CAP_BPF and CAP_PERFMON)";
  return error;
}

// Where libbpf looks before it looks for a kernel's image; stock kernels have it.
bool has_types() { return ::access("/sys/kernel/btf/vmlinux", R_OK) == 0; }

std::unexpected<Error> no_types() {
  return fail(Code::kUnsupported, "no BTF here, the kernel needs CONFIG_DEBUG_INFO_BTF");
}

// The program knows processes by their number in the initial namespace, and so must we.
Status check_namespace() {
  struct stat status{};
  if (::stat("/proc/self/ns/pid", &status) != 0) return fail_errno("stat of /proc/self/ns/pid");
  if (status.st_ino == kInitialPidNamespace) return {};
  return fail(Code::kUnsupported, "not in the initial PID namespace");
}

// Does the tracepoint say whether the group is dead? A program that asks for an argument too many can't be loaded.
Status check_tracepoint_arguments() {
  const std::unique_ptr<btf, Closer> types(btf__load_vmlinux_btf());
  if (!types && !has_types()) return no_types();
  if (!types) return fail_errno("read the kernel's BTF");
  const int id = btf__find_by_name_kind(types.get(), "btf_trace_sched_process_exit", BTF_KIND_TYPEDEF);
  if (id < 0) return fail(Code::kUnsupported, "the kernel has no tracepoint sched_process_exit");
  const btf_type* type = btf__type_by_id(types.get(), static_cast<__u32>(id));
  while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type) || btf_is_ptr(type))) {
    type = btf__type_by_id(types.get(), type->type);
  }
  constexpr unsigned kWithGroupDead = 3;  // void *, struct task_struct *, bool
  if (type != nullptr && btf_is_func_proto(type) && btf_vlen(type) == kWithGroupDead) return {};
  return fail(Code::kUnsupported, "this kernel's tracepoint has no group_dead");
}

bpf_program* program_of(const exit_watch& skeleton, Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kTpBtf: return skeleton.progs.exit_tp_btf;
    case Mechanism::kFentry: return skeleton.progs.exit_fentry;
    case Mechanism::kTracepoint: return skeleton.progs.exit_tracepoint;
    case Mechanism::kPidfd: break;
  }
  return nullptr;
}

Result<std::uint64_t> tracepoint_number() {
  for (const char* folder : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    std::ifstream file(std::string(folder) + "/events/sched/sched_process_exit/id");
    std::uint64_t number = 0;
    if (file >> number) return number;
  }
  return fail(Code::kNotFound, "no tracefs here: mount -t tracefs none /sys/kernel/tracing");
}

// A perf event of a tracepoint fires on every processor, whichever it was opened on.
Result<UniqueFd> open_tracepoint() {
  const auto number = tracepoint_number();
  if (!number) return std::unexpected(number.error());
  perf_event_attr attributes{};
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.config = *number;
  UniqueFd fd(static_cast<int>(::syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd) return refused("perf_event_open", errno);
  return fd;
}

Result<UniqueFd> attach(int program, Mechanism mechanism) {
  UniqueFd event;  // the link keeps it
  bpf_attach_type type = mechanism == Mechanism::kFentry ? BPF_TRACE_FENTRY : BPF_TRACE_RAW_TP;
  if (mechanism == Mechanism::kTracepoint) {
    auto opened = open_tracepoint();
    if (!opened) return opened;
    event = std::move(*opened);
    type = BPF_PERF_EVENT;
  }
  UniqueFd link(bpf_link_create(program, event ? event.get() : 0, type, nullptr));
  if (!link) return refused("attach", errno);
  return link;
}

Result<UniqueFd> own(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno("dup");
  return copy;
}

// One of the optional programs, and only that one: a program that the kernel does not take fails the whole object.
Status prepare(exit_watch& skeleton, Mechanism mechanism, const Options& options) {
  bpf_program__set_autoload(program_of(skeleton, mechanism), true);
  int error = bpf_map__set_max_entries(skeleton.maps.watched, static_cast<__u32>(options.capacity));
  if (error == 0) error = bpf_map__set_max_entries(skeleton.maps.liveness, options.slots);
  if (error == 0) error = bpf_map__set_max_entries(skeleton.maps.events, static_cast<__u32>(options.ring_bytes));
  if (error != 0) return refused("size the maps", -error);
  if (error = exit_watch::load(&skeleton); error == -ESRCH && !has_types()) return no_types();
  if (error != 0) return refused("load", -error);
  // From here on only the program writes; whoever gets the descriptor can map it for reading.
  if (bpf_map_freeze(bpf_map__fd(skeleton.maps.liveness)) != 0) return refused("freeze the liveness page", errno);
  return {};
}

}  // namespace

Result<ExitPrograms> ExitPrograms::load(Mechanism mechanism, const Options& options) {
  libbpf_set_print(nullptr);
  if (auto ok = check_namespace(); !ok) return std::unexpected(std::move(ok).error());
  if (mechanism == Mechanism::kTpBtf) {
    if (auto ok = check_tracepoint_arguments(); !ok) return std::unexpected(std::move(ok).error());
  }
  const std::unique_ptr<exit_watch, Closer> skeleton(exit_watch::open());
  if (!skeleton) return refused("open", errno);
  if (auto ok = prepare(*skeleton, mechanism, options); !ok) return std::unexpected(std::move(ok).error());
  const int program = bpf_program__fd(program_of(*skeleton, mechanism));
  auto link = attach(program, mechanism);
  if (!link) return std::unexpected(std::move(link).error());
  std::vector<UniqueFd> fds;
  for (const int fd : {program, link->get(), bpf_program__fd(skeleton->progs.identify),
                       bpf_map__fd(skeleton->maps.watched), bpf_map__fd(skeleton->maps.liveness),
                       bpf_map__fd(skeleton->maps.events), bpf_map__fd(skeleton->maps.counters)}) {
    auto copy = own(fd);
    if (!copy) return std::unexpected(std::move(copy).error());
    fds.push_back(std::move(*copy));
  }
  return from_fds(std::move(fds));
}

Result<ExitPrograms> ExitPrograms::from_fds(std::vector<UniqueFd> fds) {
  if (fds.size() != kFdCount) {
    return fail(Code::kInvalidArgument,
                "an exit program of " + std::to_string(fds.size()) + " descriptors, not " + std::to_string(kFdCount));
  }
  return ExitPrograms{.program = std::move(fds[0]),
                      .link = std::move(fds[1]),
                      .identify = std::move(fds[2]),
                      .watched = std::move(fds[3]),
                      .liveness = std::move(fds[4]),
                      .events = std::move(fds[5]),
                      .counters = std::move(fds[6])};
}

std::vector<int> ExitPrograms::fds() const {
  return {program.get(), link.get(), identify.get(), watched.get(), liveness.get(), events.get(), counters.get()};
}

}  // namespace warden::bpf
