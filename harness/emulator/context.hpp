// What a handler works on: the group of lanes that runs now, its frame, and the ways to memory and to the report.
#pragma once

#include <string>

#include "harness/emulator/emulator.hpp"
#include "harness/emulator/findings.hpp"
#include "harness/emulator/memory.hpp"
#include "harness/emulator/program.hpp"

namespace wkv::emulator {

class Block;
class Warp;
struct Frame;

struct OpCount {
  uint64_t warps = 0, lanes = 0;
};

// What is the same for all blocks of a launch.
struct Grid {
  const ModuleImage* module = nullptr;
  const Function* entry = nullptr;
  MemoryImage* memory = nullptr;
  const std::vector<uint64_t>* variable_addresses = nullptr;
  std::vector<std::byte> parameters;
  Dim3 grid, block;
  uint32_t static_shared_bytes = 0, shared_bytes = 0;  // all of it: static, then dynamic from dynamic_offset
  uint32_t dynamic_offset = 0;
  uint32_t shared_granule = 4;
  bool check = true;
  uint64_t instruction_limit = 0;
};

struct Context {
  // The running group of lanes.
  std::byte* registers = nullptr;
  const Op* ops = nullptr;
  OpCount* counts = nullptr;  // of the function's operations
  uint32_t pc = 0;            // already behind the running operation
  uint32_t join_pc = kNone;   // where the group waits for others
  int32_t join = -1;
  Mask active = 0;
  Frame* frame = nullptr;
  bool leave = false;  // set by a handler: the group is not to go on now

  Warp* warp = nullptr;
  Block* block = nullptr;
  const Grid* grid = nullptr;
  Counters* counters = nullptr;
  FindingLog* log = nullptr;
  uint64_t clock = 0;
  Allocation* last_allocation = nullptr;  // most accesses of a warp go where the one before went

  // Lanes in the mask did something wrong at the operation. The text is made only if it is the first of its kind there;
  // lane is the one to name.
  template <class MakeText>
  void report(FindingKind kind, const Op& op, Mask lanes, uint32_t lane, uint64_t address, const MakeText& make_text) {
    if (is_new(kind, op, lanes)) add_finding(kind, op, lanes, lane, address, make_text());
  }
  // Ends the launch after a finding from which a kernel cannot go on.
  void abort();

  // Memory of a state space, or of the one that a generic address says. A lane's value has `bytes` bytes (1 to 16) at
  // lane * bytes of the buffer. Lanes whose access is wrong load zeros and store nothing.
  void load(const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes, std::byte* values);
  void store(const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes, const std::byte* values);
  // The host address of each lane's bytes for an atomic operation on them, null where it cannot be.
  void atomic(const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes, std::byte** places);
  // Begins a copy of each lane's values to shared memory.
  void copy_async(const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes, const std::byte* values);

 private:
  bool is_new(FindingKind kind, const Op& op, Mask lanes);
  void add_finding(FindingKind kind, const Op& op, Mask lanes, uint32_t lane, uint64_t address, std::string text);
};

// Op::flags.
enum : uint8_t {
  kVolatile = 1,       // memory: volatile, relaxed, acquire or release; does not race with others of the kind
  kSignExtend = 2,     // loads
  kMeetsAnywhere = 4,  // lanes that come together at it may do so from different places in the code
};

uint32_t index_of(const Warp& warp);
std::array<uint32_t, 3> thread_of(const Block& block, uint32_t warp, uint32_t lane);

}  // namespace wkv::emulator
