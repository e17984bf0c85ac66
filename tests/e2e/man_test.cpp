// SPDX-License-Identifier: Apache-2.0
// The manual pages: the formatter has nothing to say against them, and they name every option that --help names, and
// no other one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "tests/e2e/warden_commands.h"
#include "tests/support/host.h"

namespace warden::test {
namespace {

struct Page {
  std::string program;
  std::vector<std::vector<std::string>> commands;  // whose --help counts
};

// The program's own --help, before those of its commands.
std::vector<std::vector<std::string>> with_itself(std::vector<std::vector<std::string>> commands) {
  commands.emplace(commands.begin());
  return commands;
}

void PrintTo(const Page& page, std::ostream* out) { *out << page.program; }

std::set<std::string> options_in(const std::string& text) {
  std::set<std::string> options;
  static const std::regex kOption("(^|[^-a-z])(--[a-z][a-z-]*)");
  for (std::sregex_iterator match(text.begin(), text.end(), kOption); match != std::sregex_iterator(); ++match) {
    options.insert((*match)[2]);
  }
  return options;
}

class ManPage : public testing::TestWithParam<Page> {};

TEST_P(ManPage, SaysWhatHelpSays) {
  const Page& page = GetParam();
  Process::Options plain;
  plain.environment = {{"MANPAGER", "cat"}, {"MANWIDTH", "10000"}, {"LC_ALL", "C"}, {"MAN_KEEP_FORMATTING", ""}};
  Process man({"man", "--warnings=w", "--no-hyphenation", "-l", WARDEN_SOURCE_DIR "/docs/man/" + page.program + ".1"},
              plain);
  ASSERT_NE(man.wait(), 127) << "man is not installed (package man-db)";
  EXPECT_EQ(man.wait(), 0);
  EXPECT_EQ(man.err(), "");
  const std::string rendered = std::regex_replace(man.out(), std::regex("(.\b)|(\x1b\\[[0-9;]*m)"), "");
  std::string help;
  for (std::vector<std::string> words : page.commands) {
    words.insert(words.begin(), std::string(WARDEN_BIN_DIR) + "/" + page.program);
    words.emplace_back("--help");
    Process program(words);
    EXPECT_EQ(program.wait(), 0) << program.output();
    help += program.out();
  }
  EXPECT_THAT(options_in(rendered), testing::ContainerEq(options_in(help))) << rendered;
}

INSTANTIATE_TEST_SUITE_P(All, ManPage,
                         testing::Values(Page{"wardend", {{}}}, Page{"warden", with_itself(warden_commands())},
                                         Page{"warden-sim",
                                              {{},
                                               {"ctl"},
                                               {"ctl", "stats"},
                                               {"ctl", "status"},
                                               {"ctl", "fault"},
                                               {"ctl", "reset-duration"},
                                               {"ctl", "link-reset"},
                                               {"ctl", "board-reset"},
                                               {"ctl", "interrupt"}}}),
                         [](const auto& instance) {
                           return std::regex_replace(instance.param.program, std::regex("-"), "_");
                         });

}  // namespace
}  // namespace warden::test
