// SPDX-License-Identifier: Apache-2.0
// The allocation server's messages: fields where clients put them, and nothing accepted that no client sends.
#include "tools/wardend/allocation_wire.h"

#include <gtest/gtest.h>

#include <cstring>

namespace warden::daemon {
namespace {

using Message = std::array<std::byte, kShortMessageBytes>;

template <typename Number>
Message with(Message message, std::size_t offset, Number number) {
  std::memcpy(message.data() + offset, &number, sizeof(number));
  return message;
}

Message good() {
  Message message = with(Message{}, 0, std::uint8_t{1});
  message = with(message, 4, std::int32_t{3});
  message = with(message, 8, std::uint64_t{4096});
  message = with(message, 16, std::uint8_t{4});
  message = with(message, 20, std::int32_t{77});
  message = with(message, 24, std::uint64_t{0xABCD'0000'1234});
  return with(message, 32, std::uint64_t{1234567890123});
}

// Every field is found at its offset.
TEST(AllocationWire, Fields) {
  const auto request = parse_allocation_request(good());
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->type, AllocationMessageType::kAlloc);
  EXPECT_EQ(request->device, 3);
  EXPECT_EQ(request->size_bytes, 4096U);
  EXPECT_EQ(request->kind, AllocationKind::kTrace);
  EXPECT_EQ(request->process_id, 77);
  EXPECT_EQ(request->buffer_id, 0xABCD'0000'1234U);
  EXPECT_EQ(request->timestamp, 1234567890123U);
}

// A field that no client sends makes the message garbage, and the error names it.
TEST(AllocationWire, EveryFieldIsChecked) {
  const auto refused = [](const Message& message, const std::string& word) {
    const auto request = parse_allocation_request(message);
    return !request && request.error().message.find(word) != std::string::npos;
  };
  for (const int type : {0, 4, 7, 12, 255}) {
    EXPECT_TRUE(refused(with(good(), 0, static_cast<std::uint8_t>(type)), "message type is")) << type;
  }
  for (const int device : {-1, kMaxAllocationDevices, -2147483647}) {
    EXPECT_TRUE(refused(with(good(), 4, device), "device_id is")) << device;
  }
  EXPECT_TRUE(refused(with(good(), 8, kMaxAllocationBytes + 1), "size is"));
  EXPECT_TRUE(parse_allocation_request(with(good(), 8, kMaxAllocationBytes)));
  EXPECT_TRUE(refused(with(good(), 16, std::uint8_t{7}), "buffer_type is 7"));
  EXPECT_TRUE(refused(with(good(), 20, std::int32_t{-5}), "process_id is -5"));
  for (const std::size_t padding : {1U, 2U, 3U, 17U, 18U, 19U}) {
    EXPECT_TRUE(refused(with(good(), padding, std::uint8_t{1}), "padding")) << padding;
  }
  const Message kernel = with(good(), 0, std::uint8_t{10});
  EXPECT_TRUE(refused(with(kernel, 16, std::uint8_t{3}), "kernel type is 3"));
  EXPECT_TRUE(parse_allocation_request(with(kernel, 16, std::uint8_t{2})));
}

// Questions may name any device: what is not there is answered, not punished.
TEST(AllocationWire, QuestionsNameAnyDevice) {
  for (const int type : {3, 5, 6}) {
    const auto request =
        parse_allocation_request(with(with(Message{}, 0, static_cast<std::uint8_t>(type)), 4, std::int32_t{-1}));
    ASSERT_TRUE(request) << type;
    EXPECT_TRUE(request->is_question());
  }
}

// An answer's fields are where readers of either form look for them.
TEST(AllocationWire, AnswersInBothForms) {
  const AllocationAnswer answer{.type = AllocationMessageType::kDeviceInfoResponse,
                                .device = 1,
                                .words = {11, 12, 13, 14},
                                .cb_bytes = 15,
                                .kernel_bytes = 16,
                                .total_dram_bytes = 17,
                                .total_l1_bytes = 18,
                                .arch = 2,
                                .dram_channels = 19,
                                .dram_per_channel_bytes = 20,
                                .l1_per_core_bytes = 21,
                                .is_available = 1,
                                .device_count = 22};
  const auto word = [](const auto& bytes, std::size_t offset) {
    std::uint64_t number = 0;
    std::memcpy(&number, bytes.data() + offset, sizeof(number));
    return number;
  };
  const auto small = encode_allocation_answer(answer, kShortMessageBytes);
  const auto large = encode_allocation_answer(answer, kLongMessageBytes);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(word(small, 40 + 8 * i), 11 + i);
    EXPECT_EQ(word(large, 40 + 8 * i), 11 + i);
  }
  EXPECT_EQ(word(small, 72), 17U);
  EXPECT_EQ(word(small, 80), 18U);
  EXPECT_EQ(word(small, 88), 2U | (19ULL << 32));
  EXPECT_EQ(word(small, 104), 1U | (22ULL << 32));
  EXPECT_EQ(word(large, 72), 15U);
  EXPECT_EQ(word(large, 80), 16U);
  EXPECT_EQ(word(large, 88), 17U);
  EXPECT_EQ(word(large, 104), 2U | (19ULL << 32));
  EXPECT_EQ(word(large, 120), 1U | (22ULL << 32));
  EXPECT_EQ(decode_allocation_answer(large).device_count, 22U);
  EXPECT_EQ(decode_allocation_answer(large).words, answer.words);
}

}  // namespace
}  // namespace warden::daemon
