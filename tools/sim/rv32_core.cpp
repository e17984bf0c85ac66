// SPDX-License-Identifier: Apache-2.0
// The interpreter: instructions are decoded once, each knows the place of its own code, and bookkeeping happens where
// control is transferred, not at every instruction.
#include "tools/sim/rv32_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace warden::sim::rv32 {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t kFirstProbe = 256;  // instructions
constexpr std::uint64_t kLastProbe = 1 << 16;
constexpr unsigned kProbeTransfers = 64;  // doubled until
constexpr unsigned kProbeTransfersMax = 256;

template <typename Value>
std::uint32_t fetch(const std::byte* at) noexcept {
  Value value;
  std::memcpy(&value, at, sizeof(value));
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(value));  // sign-extended where Value is signed
}

// The part of a register's word that a narrow load at `address` sees.
template <typename Value>
std::uint32_t lane_of(std::uint32_t word, std::uint32_t address) noexcept {
  const std::uint32_t lane = word >> (8 * (address & 3U));
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<Value>(lane)));
}

std::uint32_t divide(std::uint32_t a, std::uint32_t b) noexcept {
  const auto dividend = static_cast<std::int32_t>(a);
  const auto divisor = static_cast<std::int32_t>(b);
  if (divisor == 0) return ~0U;
  if (divisor == -1) return 0U - a;  // also of the one that overflows
  return static_cast<std::uint32_t>(dividend / divisor);
}

std::uint32_t remainder(std::uint32_t a, std::uint32_t b) noexcept {
  const auto dividend = static_cast<std::int32_t>(a);
  const auto divisor = static_cast<std::int32_t>(b);
  if (divisor == 0) return a;
  if (divisor == -1) return 0;
  return static_cast<std::uint32_t>(dividend % divisor);
}

std::int64_t signed64(std::uint32_t value) noexcept { return static_cast<std::int32_t>(value); }

std::uint32_t high_half(std::int64_t product) noexcept {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(product) >> 32);
}

// Is the core in a loop that changes nothing? It is when it comes to the same instruction with the same registers and
// has stored nothing on the way: what it loads can't have changed either, as long as it runs alone. The place to come
// back to is taken anew now and then, in case it lies before the loop (Brent's way of finding cycles).
template <typename Registers>
class LoopProbe {
 public:
  LoopProbe(std::uint64_t first, std::uint64_t budget) : budget_(budget), due_(std::min(first, budget)) {}

  // When the next look is due, in instructions executed.
  [[nodiscard]] std::uint64_t due() const noexcept { return due_; }

  enum class Finding : std::uint8_t { kNothing, kBegun, kIdle };
  // At a transfer of control to `at`. `stored`: since the probe began.
  Finding look(const Instruction* at, const Registers& x, std::uint64_t executed, bool stored) {
    if (at_ == nullptr) {
      take(at, x, kProbeTransfers);
      due_ = executed + 1;
      return Finding::kBegun;
    }
    if (!stored && at == at_ && std::equal(x.begin() + 1, x.begin() + kSinkRegister, x_.begin() + 1)) {
      return Finding::kIdle;
    }
    if (stored || (--transfers_ == 0 && limit_ == kProbeTransfersMax)) {
      at_ = nullptr;
      interval_ = std::min(2 * interval_, kLastProbe);
      due_ = std::min(executed + interval_, budget_);
    } else if (transfers_ == 0) {
      take(at, x, 2 * limit_);
    }
    return Finding::kNothing;
  }

 private:
  void take(const Instruction* at, const Registers& x, unsigned limit) {
    at_ = at;
    x_ = x;
    transfers_ = limit_ = limit;
  }

  const std::uint64_t budget_;
  std::uint64_t interval_ = kFirstProbe;
  std::uint64_t due_;
  const Instruction* at_ = nullptr;
  Registers x_{};
  unsigned limit_ = 0;
  unsigned transfers_ = 0;  // that may follow before the place is taken anew
};

}  // namespace

Core::Core(std::span<std::byte> l1, Bus& bus)
    : l1_(l1), bus_(bus), decoded_((l1.size() / 4 + 1) * sizeof(Instruction)) {
  start(0);
}

void Core::start(std::uint32_t pc) {
  decoded_.clear();
  x_.fill(0);
  pc_ = pc;
  halted_.reset();
  hang_ = Hang::kNone;
  clock_read_ = false;
  idle_ = false;
}

void Core::decode_at(Instruction* at) noexcept {
  const auto* code = reinterpret_cast<const Instruction*>(decoded_.bytes().data());
  const auto index = static_cast<std::uint32_t>(at - code);
  const auto count = static_cast<std::uint32_t>(l1_.size() / 4);
  *at = index == count ? Instruction{.operation = Operation::kEnd, .rd = 0, .rs1 = 0, .rs2 = 0, .immediate = 0}
                       : decode(fetch<std::uint32_t>(l1_.data() + std::size_t{index} * 4), index, count);
}

// Beyond L1: the core's own RAM, or a register. The address is aligned to the access.
bool Core::load_far(std::uint32_t address, std::uint32_t& word) {
  const std::uint32_t aligned = address & ~3U;
  if (aligned - kLocalBegin < kLocalBytes) {
    word = fetch<std::uint32_t>(local_.data() + (aligned - kLocalBegin));
    return true;
  }
  const std::optional<Bus::Load> load = bus_.load(aligned);
  if (!load) return false;
  if (load->moves_by_itself) clock_read_ = true;
  word = load->word;
  return true;
}

void Core::store_far(std::uint32_t address, std::uint32_t value, unsigned bytes) {
  if (address - kLocalBegin < kLocalBytes) {
    std::memcpy(local_.data() + (address - kLocalBegin), &value, bytes);
  } else {
    bus_.store(address, value, bytes);
  }
}

Stop Core::hang(Hang why, std::uint32_t about) noexcept {
  hang_ = why;
  hang_about_ = about;
  return Stop::kHung;
}

std::string Core::hang_reason() const {
  switch (hang_) {
    case Hang::kNone: return "does not hang";
    case Hang::kFetch: return fmt::format("no instruction can be at {:#x}", pc_);
    case Hang::kIllegal: return fmt::format("{:#010x} at {:#x} is no instruction of RV32IM", hang_about_, pc_);
    case Hang::kLoad: return fmt::format("load at {:#x} from {:#x}, where nothing is", pc_, hang_about_);
  }
  return {};
}

// Labels as values are an extension of GNU C++ that clang has too.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"

// `at` is the instruction, `block` where straight code began. Transfers add up what was executed, and look whether the
// budget is used up or a probe is due.
// NOLINTNEXTLINE(bugprone-macro-parentheses): takes the statement for a product
#define NEXT() goto* kCode[static_cast<std::uint8_t>((++at)->operation)]
#define TRANSFER(target)                                    \
  do {                                                      \
    executed += static_cast<std::uint64_t>(at - block) + 1; \
    at = block = (target);                                  \
    if (executed >= due) goto look;                         \
    goto* kCode[static_cast<std::uint8_t>(at->operation)];  \
  } while (false)
#define BRANCH(name, condition)                  \
  code_##name : {                                \
    const std::uint32_t a = x[at->rs1];          \
    const std::uint32_t b = x[at->rs2];          \
    if (condition) TRANSFER(at + at->immediate); \
    NEXT();                                      \
  }
#define COMPUTE(name, operand, value)   \
  code_##name : {                       \
    const std::uint32_t a = x[at->rs1]; \
    const std::uint32_t b = (operand);  \
    x[at->rd] = (value);                \
    NEXT();                             \
  }
#define REGISTER(name, value) COMPUTE(name, x[at->rs2], value)
#define IMMEDIATE(name, value) COMPUTE(name, static_cast<std::uint32_t>(at->immediate), value)
#define LOAD(name, type)                                                                                \
  code_##name : {                                                                                       \
    const std::uint32_t address =                                                                       \
        (x[at->rs1] + static_cast<std::uint32_t>(at->immediate)) & ~(std::uint32_t{sizeof(type)} - 1U); \
    if (address < l1_bytes) [[likely]] {                                                                \
      x[at->rd] = fetch<type>(l1 + address);                                                            \
    } else {                                                                                            \
      std::uint32_t word = 0;                                                                           \
      if (!load_far(address, word)) {                                                                   \
        stop = hang(Hang::kLoad, address);                                                              \
        goto leave;                                                                                     \
      }                                                                                                 \
      x[at->rd] = lane_of<type>(word, address);                                                         \
    }                                                                                                   \
    NEXT();                                                                                             \
  }
#define STORE(name, type)                                                                               \
  code_##name : {                                                                                       \
    const std::uint32_t address =                                                                       \
        (x[at->rs1] + static_cast<std::uint32_t>(at->immediate)) & ~(std::uint32_t{sizeof(type)} - 1U); \
    const std::uint32_t value = x[at->rs2];                                                             \
    stored = true;                                                                                      \
    if (address < l1_bytes) [[likely]] {                                                                \
      std::memcpy(l1 + address, &value, sizeof(type));                                                  \
    } else {                                                                                            \
      store_far(address, value, sizeof(type));                                                          \
    }                                                                                                   \
    NEXT();                                                                                             \
  }

Stop Core::run(std::uint64_t budget) {
  static constexpr const void* kCode[] = {
#define WARDEN_RV32_LABEL(name) &&code_##name,
      WARDEN_RV32_OPERATIONS(WARDEN_RV32_LABEL)
#undef WARDEN_RV32_LABEL
  };
  if (halted_) return *halted_;
  Instruction* const code = reinterpret_cast<Instruction*>(decoded_.bytes().data());
  std::byte* const l1 = l1_.data();
  const auto l1_bytes = static_cast<std::uint32_t>(l1_.size());
  const std::uint32_t code_count = l1_bytes / 4;
  Registers& x = x_;
  Instruction* at = code + std::min(pc_ / 4, code_count);
  Instruction* block = at;
  std::uint64_t executed = 0;
  // A core that was idle probably is so again.
  LoopProbe<Registers> probe(idle_ ? 0 : kFirstProbe, budget);
  std::uint64_t due = probe.due();
  bool stored = false;
  has_stored_ = false;
  Stop stop = Stop::kBudget;
  goto* kCode[static_cast<std::uint8_t>(at->operation)];

look:
  has_stored_ = has_stored_ || stored;
  if (executed >= budget) goto away;
  switch (probe.look(at, x, executed, stored)) {
    case LoopProbe<Registers>::Finding::kIdle: stop = Stop::kIdle; goto away;
    case LoopProbe<Registers>::Finding::kBegun:
      stored = false;
      clock_read_ = false;
      break;
    case LoopProbe<Registers>::Finding::kNothing: break;
  }
  due = probe.due();
  goto* kCode[static_cast<std::uint8_t>(at->operation)];

code_Undecoded:
  decode_at(at);
  goto* kCode[static_cast<std::uint8_t>(at->operation)];
code_End:
  stop = hang(Hang::kFetch, 0);
  goto leave;
code_Illegal:
  stop = hang(Hang::kIllegal, at == code + code_count ? 0 : fetch<std::uint32_t>(l1 + (at - code) * 4));
  goto leave;
code_Pause:
  stop = Stop::kPaused;
  goto leave;
code_Fence:
  NEXT();
code_SetRegister:
  x[at->rd] = static_cast<std::uint32_t>(at->immediate);
  NEXT();
code_Jal:
  x[at->rd] = static_cast<std::uint32_t>(at - code + 1) * 4;
  TRANSFER(at + at->immediate);
code_Jalr: {
  const std::uint32_t target = (x[at->rs1] + static_cast<std::uint32_t>(at->immediate)) & ~1U;
  x[at->rd] = static_cast<std::uint32_t>(at - code + 1) * 4;
  TRANSFER(code + (target % 4 == 0 ? std::min(target / 4, code_count) : code_count));
}
  // clang-format off
  BRANCH(Beq, a == b)
  BRANCH(Bne, a != b)
  BRANCH(Blt, static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b))
  BRANCH(Bge, static_cast<std::int32_t>(a) >= static_cast<std::int32_t>(b))
  BRANCH(Bltu, a < b)
  BRANCH(Bgeu, a >= b)
  LOAD(Lb, std::int8_t)
  LOAD(Lh, std::int16_t)
  LOAD(Lw, std::uint32_t)
  LOAD(Lbu, std::uint8_t)
  LOAD(Lhu, std::uint16_t)
  STORE(Sb, std::uint8_t)
  STORE(Sh, std::uint16_t)
  STORE(Sw, std::uint32_t)
  IMMEDIATE(Addi, a + b)
  IMMEDIATE(Slti, static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b) ? 1 : 0)
  IMMEDIATE(Sltiu, a < b ? 1 : 0)
  IMMEDIATE(Xori, a ^ b)
  IMMEDIATE(Ori, a | b)
  IMMEDIATE(Andi, a & b)
  IMMEDIATE(Slli, a << b)
  IMMEDIATE(Srli, a >> b)
  IMMEDIATE(Srai, static_cast<std::uint32_t>(static_cast<std::int32_t>(a) >> b))
  REGISTER(Add, a + b)
  REGISTER(Sub, a - b)
  REGISTER(Sll, a << (b & 31U))
  REGISTER(Slt, static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b) ? 1 : 0)
  REGISTER(Sltu, a < b ? 1 : 0)
  REGISTER(Xor, a ^ b)
  REGISTER(Srl, a >> (b & 31U))
  REGISTER(Sra, static_cast<std::uint32_t>(static_cast<std::int32_t>(a) >> (b & 31U)))
  REGISTER(Or, a | b)
  REGISTER(And, a & b)
  REGISTER(Mul, a * b)
  REGISTER(Mulh, high_half(signed64(a) * signed64(b)))
  REGISTER(Mulhsu, high_half(signed64(a) * static_cast<std::int64_t>(b)))
  REGISTER(Mulhu, static_cast<std::uint32_t>((std::uint64_t{a} * b) >> 32))
  REGISTER(Div, divide(a, b))
  REGISTER(Divu, b == 0 ? ~0U : a / b)
  REGISTER(Rem, remainder(a, b))
  REGISTER(Remu, b == 0 ? a : a % b)
  // clang-format on

leave:  // for good, at an instruction that does not end
  executed += static_cast<std::uint64_t>(at - block);
  halted_ = stop;
away:
  has_stored_ = has_stored_ || stored;
  idle_ = stop == Stop::kIdle;
  pc_ = static_cast<std::uint32_t>(at - code) * 4;
  instructions_ += executed;
  return stop;
}

#pragma GCC diagnostic pop

}  // namespace warden::sim::rv32
