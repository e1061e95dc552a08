// What a module is decoded to: functions as arrays of operations that a warp executes one after the other, each with
// the function that does it, instantiated for its types, and its operands resolved to places in a frame.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "harness/emulator/emulator.hpp"
#include "harness/emulator/syntax.hpp"

namespace wkv::emulator {

using Mask = uint32_t;  // a bit for each lane; predicates are kept as such too
inline constexpr uint32_t kLanes = 32;
inline constexpr Mask kFull = ~Mask{0};
inline uint32_t count_lanes(Mask lanes) {  // std::popcount is a library call where the instruction may be missing
  if (lanes == kFull) return kLanes;
  lanes -= lanes >> 1 & 0x55555555u;
  lanes = (lanes & 0x33333333u) + (lanes >> 2 & 0x33333333u);
  return ((lanes + (lanes >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}
inline uint32_t first_lane(Mask lanes) { return static_cast<uint32_t>(std::countr_zero(lanes)); }

struct Context;
struct Op;
using Handler = void (*)(Context&, const Op&, Mask);

// An operand that is read: 32 lanes of a register, or a constant that has been spread over 32 lanes beforehand.
class Source {
 public:
  constexpr Source() = default;
  static Source at_frame(uint32_t offset) { return Source(uint64_t{offset} << 1 | 1); }
  static Source constant(const void* lanes) { return Source(reinterpret_cast<uint64_t>(lanes)); }
  const std::byte* lanes(const std::byte* frame) const {
    return bits_ & 1 ? frame + (bits_ >> 1) : reinterpret_cast<const std::byte*>(bits_);
  }
  bool is_constant() const { return !(bits_ & 1); }
  uint32_t frame_offset() const { return static_cast<uint32_t>(bits_ >> 1); }

 private:
  explicit constexpr Source(uint64_t bits) : bits_(bits) {}
  uint64_t bits_ = 1;
};

inline constexpr uint32_t kNone = ~uint32_t{0};

struct Op {
  Handler run = nullptr;
  Source src[4];
  uint32_t dst[2] = {kNone, kNone};  // places in the frame; kNone: the result is not wanted
  uint32_t guard = kNone;
  Mask guard_flip = 0;      // all ones under @!p
  uint32_t target = kNone;  // of a branch or call: operation or function
  uint32_t join = kNone;    // of a branch: where its ways meet again
  // Vector operands and matrix fragments: registers to write and sources; branch targets are in dst_list. The function
  // owns them.
  const uint32_t* dst_list = nullptr;
  const Source* src_list = nullptr;
  uint16_t dst_count = 0, src_count = 0;
  int64_t immediate = 0;       // address offset, or what the handler wants
  uint8_t bytes = 0;           // memory: of one element
  uint8_t register_bytes = 0;  // memory: of a register that holds an element
  uint8_t address_bytes = 8;   // memory: of the address register
  uint8_t flags = 0;           // the handler's own
  Space space = Space::generic;
  InstructionClass instruction_class = InstructionClass::move;
  uint32_t flops = 0;  // for each lane
  uint32_t line = 0;
  syntax::Location location;
};

// Values that a frame gets when it is made: they stay the same while it lives.
enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  smid,
  nsmid,
  gridid,
  one,
  zero,
  dynamic_smem_size,
  total_smem_size,
  dynamic_shared,  // where dynamic shared memory begins
  local_base,      // where the function's local variables begin
  variable,        // address of the module's variable with the index
};

struct SpecialRegister {
  Special kind;
  uint32_t index = 0;
  uint32_t bytes = 4;
  int64_t addend = 0;   // to the value
  uint32_t offset = 0;  // in the frame
};

struct Place {
  uint32_t offset = 0, bytes = 0;
};

struct CallSite {
  std::vector<Place> arguments, results;  // in the caller's parameter area
};

inline constexpr uint32_t kMaxLocal = 512 * 1024;             // bytes of a thread, of all nested calls together
inline constexpr uint32_t kMaxParameters = 16 * 1024 * 1024;  // bytes of a function's parameter area, of each lane

struct Function {
  std::string name;
  uint32_t index = 0;  // in the module
  bool is_entry = false, has_body = false;
  std::vector<Op> ops;  // the last returns to the caller
  uint32_t frame_bytes = 0;
  uint32_t parameter_bytes = 0;  // a lane's parameters, results and arguments of calls; of an entry without parameters
  uint32_t local_bytes = 0;
  uint32_t shared_bytes = 0;  // of an entry's own variables
  std::vector<Place> parameters, results;
  std::vector<SpecialRegister> specials;
  std::vector<CallSite> calls;
  std::vector<uint32_t> callees;
  bool calls_pointers = false;
  bool uses_common_shared = false;
  uint32_t shared_granule = 16;  // bytes of the smallest access that may go to shared memory
  std::string unsupported;       // message of the first instruction that is not covered

  // Storage that operations point to.
  std::deque<std::vector<uint32_t>> dst_lists;
  std::deque<std::vector<Source>> src_lists;
  struct alignas(64) Constant {
    uint64_t lanes[kLanes];
  };
  std::deque<Constant> constants;
  std::map<std::pair<uint32_t, uint64_t>, const Constant*> constants_by_value;  // by bytes and bits
};

struct ModuleVariable {
  std::string name;
  Space space = Space::global;
  uint64_t bytes = 0;
  uint32_t alignment = 1;
  uint32_t shared_offset = 0;
  bool dynamic_shared = false;
  bool of_entry = false;
  std::vector<std::byte> initial;
  struct Address {
    uint64_t offset;
    uint32_t bytes;
    uint32_t variable;
    uint64_t addend;
  };
  std::vector<Address> addresses;  // of other variables, written into the initial bytes once placed
};

struct ModuleImage {
  uint64_t id = 0;  // unique in the process
  std::string name;
  std::map<uint32_t, std::string> files;
  bool is_debug = false;
  std::vector<ModuleVariable> variables;
  std::unordered_map<std::string, uint32_t> variable_index;
  // Where the PTX names %reserved_smem_offset, every block's shared memory starts with what the system reserves.
  uint32_t reserved_shared_bytes = 0;
  uint32_t common_shared_bytes = 0;  // these and variables outside entries, which come next
  std::vector<std::unique_ptr<Function>> functions;
  std::unordered_map<std::string, uint32_t> function_index;
  std::vector<Entry> entries;

  std::string source(const syntax::Location& location) const;  // "file:line" or empty
};

// Where generic addresses of the other spaces lie. Global allocations are elsewhere.
inline constexpr uint64_t kSharedWindow = uint64_t{1} << 48;
inline constexpr uint64_t kLocalWindow = uint64_t{2} << 48;
inline constexpr uint64_t kParameterWindow = uint64_t{3} << 48;
inline constexpr uint64_t kFunctionWindow = uint64_t{4} << 48;  // not memory: function addresses, 16 apart
inline constexpr uint64_t kWindowBytes = uint64_t{1} << 32;

// Shared memory that the system reserves (PTX ISA, %reserved_smem_offset): zero when a block starts. Cooperative groups
// keep the barriers of groups of several warps in its second part.
inline constexpr uint32_t kReservedShared = 1024;
inline constexpr uint32_t kReservedSharedPart = 512;

}  // namespace wkv::emulator
