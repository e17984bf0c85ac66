// SPDX-License-Identifier: Apache-2.0
// What people type, and what is printed for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/warden/duration.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Every unit is understood, with fractions, to the millisecond.
TEST(Duration, UnderstandsUnits) {
  EXPECT_EQ(parse_duration("500ms").value(), milliseconds(500));
  EXPECT_EQ(parse_duration("2s").value(), milliseconds(2000));
  EXPECT_EQ(parse_duration("0.5s").value(), milliseconds(500));
  EXPECT_EQ(parse_duration("1m").value(), milliseconds(60'000));
  EXPECT_EQ(parse_duration("2h").value(), milliseconds(7'200'000));
  EXPECT_EQ(parse_duration("0s").value(), milliseconds(0));
}

// Whatever could mean two things, or nothing, is refused with the text in the message.
TEST(Duration, RefusesTheRest) {
  for (const char* text : {"", "2", "s", "-1s", "2 s", "2sx", "nan", "infs", "1e9s", "25000h", "99999999s", "0x2s"}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_THAT(duration.error().message, testing::HasSubstr("'" + std::string(text) + "'"));
  }
}

// Numbers are taken whole: a trailing letter or a value over 64 bits is an error, not a part of one.
TEST(Number, IsTakenWhole) {
  EXPECT_EQ(parse_number("4096").value(), 4096U);
  EXPECT_EQ(parse_number("0xFFB2002C").value(), 0xFFB2002CU);
  for (const char* text : {"", "0x", "12a", "-1", "+1", " 1", "18446744073709551616", "0x10000000000000000"}) {
    EXPECT_FALSE(parse_number(text)) << text;
  }
}

// A tile is two numbers of eight bits.
TEST(TileText, IsTwoSmallNumbers) {
  EXPECT_EQ(parse_tile("1,11").value(), (Tile{.x = 1, .y = 11}));
  for (const char* text : {"", "1", "1,", ",1", "256,0", "1,2,3", "1;2"}) EXPECT_FALSE(parse_tile(text)) << text;
}

// The unit follows the size.
TEST(Duration, IsPrintedInItsUnit) {
  EXPECT_EQ(format_duration(microseconds(83)), "83 us");
  EXPECT_EQ(format_duration(microseconds(1234)), "1.2 ms");
  EXPECT_EQ(format_duration(microseconds(2'000'000)), "2.00 s");
}

// Ages have the two largest units that they reach, sizes the largest.
TEST(Age, HasTwoUnits) {
  using std::chrono::seconds;
  EXPECT_EQ(format_age(milliseconds(250)), "250.0 ms");
  EXPECT_EQ(format_age(seconds(59)), "59s");
  EXPECT_EQ(format_age(seconds(245)), "4m05s");
  EXPECT_EQ(format_age(seconds(3 * 3600 + 20 * 60 + 1)), "3h20m");
  EXPECT_EQ(format_age(seconds(49 * 3600)), "2d01h");
}

TEST(Bytes, AreOf1024) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KB");
  EXPECT_EQ(format_bytes(423457915), "403.84 MB");
  EXPECT_EQ(format_bytes(1ULL << 40), "1.00 TB");
  EXPECT_EQ(format_bytes(1ULL << 50), "1024.00 TB");
}

// What does not fit is counted, in the line that it leaves: with it and the cursor the screen is full.
TEST(Screen, ShowsWhatFits) {
  const std::string five = "1\n2\n3\n4\n5\n";
  EXPECT_EQ(fit_to_screen(five, 6), five);
  EXPECT_EQ(fit_to_screen(five, 5), "1\n2\n3\n... 2 more lines\n");
  EXPECT_EQ(fit_to_screen(five, 3), "1\n... 4 more lines\n");
  EXPECT_EQ(fit_to_screen(five, 0), five);
}

// Columns line up, and the last one is not padded.
TEST(Table, LinesUp) {
  EXPECT_EQ(format_table({{"A", "LONG", "C"}, {"aaa", "b", "c"}}), "A    LONG  C\naaa  b     c\n");
}

// Text of other processes cannot move the cursor or begin a line.
TEST(Printable, HasNoControlCharacters) { EXPECT_EQ(printable("a\x1b[2Jb\nc\x7f"), "a?[2Jb?c?"); }

}  // namespace
}  // namespace warden::cli
