// SPDX-License-Identifier: Apache-2.0
// warden-bench: runs the benchmarks, prints their table and keeps the figures as JSON. It fails when something could
// not be measured, never because something was slow.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <string>

#include "tests/bench/benchmarks.h"

namespace {

namespace bench = warden::bench;
using warden::Result;

struct Arguments {
  bench::Options options;
  std::string json_path;
  std::string only;
  std::string with;
};

struct Benchmark {
  const char* name;
  Result<bench::Entries> (*run)(const bench::Options&);
};

// Those that fork many processes come first: fewer threads and mappings to copy.
constexpr std::array kBenchmarks = {Benchmark{"wake", bench::bench_wake},
                                    Benchmark{"acknowledge", bench::bench_acknowledge},
                                    Benchmark{"allocation", bench::bench_allocation},
                                    Benchmark{"reap-crowd", bench::bench_reap_crowd},
                                    Benchmark{"reap", bench::bench_reap},
                                    Benchmark{"exit", bench::bench_exit},
                                    Benchmark{"mapped", bench::bench_mapped_access},
                                    Benchmark{"kernel-vfio", bench::bench_kernel_vfio},
                                    Benchmark{"vfio-user", bench::bench_vfio_user},
                                    Benchmark{"vfio-user-write", bench::bench_vfio_user_write},
                                    Benchmark{"batch", bench::bench_batch},
                                    Benchmark{"interpreter", bench::bench_interpreter},
                                    Benchmark{"idle", bench::bench_idle},
                                    Benchmark{"fabric", bench::bench_fabric}};

void describe(CLI::App& app, Arguments& arguments) {
  app.description("Measures Warden beside its baselines");
  app.add_option("--json", arguments.json_path, "File to write the figures to");
  app.add_option("--only", arguments.only,
                 "wake, acknowledge, allocation, reap-crowd, reap, exit, mapped, kernel-vfio, vfio-user, "
                 "vfio-user-write, batch, interpreter, "
                 "idle or fabric");
  app.add_option("--with", arguments.with, "Figures that were measured before, to be listed as well");
  app.add_flag("--quick", arguments.options.quick, "A few rounds, to see that everything runs");
  app.footer("Example:\n  warden-bench --only wake");
}

Result<bench::Entries> run_all(const Arguments& arguments) {
  bench::Entries all;
  for (const Benchmark& benchmark : kBenchmarks) {
    if (!arguments.only.empty() && arguments.only != benchmark.name) continue;
    auto entries = benchmark.run(arguments.options);
    if (!entries) return warden::wrap(std::move(entries).error(), benchmark.name);
    all.insert(all.end(), entries->begin(), entries->end());
  }
  auto before = bench::read_json(arguments.with);
  if (!before) return before;
  all.insert(all.end(), before->begin(), before->end());
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  Arguments arguments;
  describe(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto entries = run_all(arguments);
  if (!entries) {
    fmt::print(stderr, "warden-bench: {}\n", entries.error().message);
    return 1;
  }
  bench::print_table(*entries);
  if (arguments.json_path.empty()) return 0;
  if (auto written = bench::write_json(*entries, arguments.json_path); !written) {
    fmt::print(stderr, "warden-bench: {}\n", written.error().message);
    return 1;
  }
  return 0;
}
