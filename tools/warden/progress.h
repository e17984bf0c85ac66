// SPDX-License-Identifier: Apache-2.0
// A word on stderr about what takes longer than a second.
#pragma once

#include <string>
#include <thread>

namespace warden::cli {

// From its beginning to its end: "waiting: 8 routers to pause (3 s)". After a second once, and on a terminal every
// second, in place; gone from there when it ends.
class Progress {
 public:
  explicit Progress(std::string what);

 private:
  std::jthread thread_;
};

}  // namespace warden::cli
