// SPDX-License-Identifier: Apache-2.0
// The completion scripts, loaded by the shells they are for: they complete commands, options and their words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/host.h"

namespace warden::test {
namespace {

const std::string kWarden = std::string(WARDEN_BIN_DIR) + "/warden";

TEST(Completions, Bash) {
  const std::string script = R"(
    source <("$1" completions bash) || exit 3
    complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _warden; echo "${COMPREPLY[*]}"; }
    complete_words warden re
    complete_words warden reset --on-t
    complete_words warden reset --on-timeout ''
    complete_words warden allocs --l
    complete_words warden completions f
    complete_words warden fabric to
    complete_words warden fabric traffic sto
    complete_words warden fabric traffic start --pattern r
    complete_words warden fabric status --pr)";
  Process bash({"bash", "-c", script, "bash", kWarden});
  EXPECT_EQ(bash.wait(), 0) << bash.output();
  EXPECT_EQ(bash.out(), "reset\n--on-timeout\nproceed abort kill\n--leaks\nfish\ntopology\nstop\nring\n--probe\n");
}

TEST(Completions, Fish) {
  const std::string script = R"($argv[1] completions fish | source
    for line in 'warden re' 'warden reset --on-t' 'warden reset --on-timeout ' 'warden allocs --l' 'warden completions f' \
                'warden fabric to' 'warden fabric traffic sto' 'warden fabric traffic start --pattern r' 'warden fabric status --pr'
        complete -C $line | string replace -r '\t.*' ''
    end
    true)";
  Process fish({"fish", "--no-config", "-c", script, kWarden});
  ASSERT_NE(fish.wait(), 127) << "fish is not installed (package fish)";
  EXPECT_EQ(fish.wait(), 0) << fish.output();
  EXPECT_EQ(fish.out(), "reset\n--on-timeout\nabort\nkill\nproceed\n--leaks\nfish\ntopology\nstop\nring\n--probe\n")
      << fish.output();
}

// zsh completes for somebody who types, alone: on a terminal of its own, in which `warden` says how it was called.
TEST(Completions, Zsh) {
  const TemporaryDirectory directory;
  const std::string script = R"(
    zmodload zsh/zpty || exit 3
    "$1" completions zsh >"$2/_warden" || exit 4
    zpty shell zsh -f -i
    zpty -w shell "PS1=; stty -echo; fpath=($2 \$fpath); autoload -Uz compinit; compinit -u -D;" \
                  'warden() { print -r -- "[$*]" }; print ready'
    zpty -r shell out '*ready*' || exit 5
    for line in 're' 'reset --on-t' 'reset --on-timeout k' 'allocs --l' 'completions f' \
                'fabric to' 'fabric traffic sto' 'fabric traffic start --pattern r' 'fabric status --pr'; do
      zpty -w -n shell "warden $line"$'\t\n'
      zpty -r shell out '*\[*\]*' || exit 6
      print -r -- "${${out##*\[}%%\]*}"
    done
    zpty -d shell)";
  Process zsh({"zsh", "-f", "-c", script, "zsh", kWarden, directory.path()});
  ASSERT_NE(zsh.wait(), 127) << "zsh is not installed (package zsh)";
  EXPECT_EQ(zsh.wait(), 0) << zsh.output();
  EXPECT_EQ(zsh.out(),
            "reset\nreset --on-timeout\nreset --on-timeout kill\nallocs --leaks\ncompletions fish\n"
            "fabric topology\nfabric traffic stop\nfabric traffic start --pattern ring\nfabric status --probe\n");
}

}  // namespace
}  // namespace warden::test
