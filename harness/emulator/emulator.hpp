// An emulated CUDA device: PTX text in, entries launched with raw argument bytes, every access checked and counted.
// It depends on nothing else of this repository; README.md in this folder has an example in 20 lines.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace wkv::emulator {

// What stops a call: PTX that does not parse, an unknown instruction in code that would run, an unknown name, a host
// copy outside an allocation. The message names module, PTX line and the thing.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Module;
class MemoryImage;
struct ModuleImage;

// The device's global memory. Addresses are device addresses, to be used by kernels and these functions only.
// Not to be called while a launch on it runs.
class Memory {
 public:
  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // 256-byte aligned, contents undefined and known to be never written, unmapped addresses before and behind.
  // The name appears in findings. Throws std::bad_alloc where the host has not enough; so does a launch whose module
  // has such variables.
  uint64_t allocate(size_t bytes, std::string name = {});
  void free(uint64_t address);  // of an allocation's begin, or 0

  // These throw Error where the range is not inside one allocation.
  void copy_in(uint64_t to, const void* from, size_t bytes);
  void copy_out(void* to, uint64_t from, size_t bytes) const;
  void fill(uint64_t to, std::byte value, size_t bytes);
  void forget(uint64_t from, size_t bytes);  // counts as never written again; contents stay
  // The first address of the range that nothing was written to, by host or kernel; from + bytes if all was.
  uint64_t first_unwritten(uint64_t from, size_t bytes) const;

  size_t allocated_bytes() const;
  size_t peak_bytes() const;

  // The address of a module's .global or .const variable; places the module's variables on first use.
  uint64_t symbol(const Module& module, std::string_view name);

  MemoryImage& image() { return *image_; }  // for the interpreter

 private:
  std::unique_ptr<MemoryImage> image_;
};

struct Parameter {
  std::string name;
  uint32_t offset = 0, size = 0, alignment = 1;
};

// What PTX says about a kernel.
struct Entry {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameter_bytes = 0;  // what launch wants as arguments: parameters at their offsets, padding between
  uint32_t static_shared_bytes = 0;
  uint32_t local_bytes = 0;                  // local arrays a thread, of the entry itself, not of functions it calls
  std::array<uint32_t, 3> max_block{};       // .maxntid, zeros where not given
  std::array<uint32_t, 3> required_block{};  // .reqntid, zeros where not given
  uint32_t predicates = 0, registers16 = 0, registers32 = 0, registers64 = 0;  // virtual ones, before allocation
  uint32_t instructions = 0;
  // Empty, or why the entry cannot be launched: the first instruction that is not covered, with its line.
  std::string unsupported;
};

class Module {
 public:
  // Throws Error on a syntax error. An instruction that is not covered makes only the entries that reach it unusable.
  // The name is for messages.
  static Module parse(std::string_view ptx, std::string name);

  const std::string& name() const;
  std::span<const Entry> entries() const;
  const Entry& entry(std::string_view name) const;  // throws Error with the known names
  bool contains(std::string_view name) const;

  const ModuleImage& image() const { return *image_; }  // for the interpreter

 private:
  std::shared_ptr<const ModuleImage> image_;
};

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

// Limits of launches are those of an H100.
inline constexpr uint32_t kMultiprocessors = 132;
inline constexpr uint32_t kMaxShared = 227 * 1024;  // of a block

struct Launch {
  Dim3 grid{}, block{};
  uint32_t dynamic_shared_bytes = 0;
  bool cooperative = false;  // all blocks are there at once and run in turns, so that they may wait for each other
};

struct Options {
  bool check = true;  // off: bounds are still held, but nothing is said of races, unwritten memory and alignment
  int threads = 0;    // of the host, one block at a time on each; 0: all cores
  size_t max_findings = 16;
  uint64_t instruction_limit = uint64_t{1} << 32;  // warp instructions of one block, then it counts as an endless loop
};

enum class InstructionClass {
  fp32,        // add, multiply, fma, compare, min, max ... on fp32, division too
  fp64,        //
  fp16,        // fp16 and bf16, packed ones too
  integer,     // arithmetic, logic, shifts, compares, selects
  conversion,  // cvt, cvta, prmt is integer
  special,     // ex2, lg2, rcp, rsqrt, sqrt, sin, cos, tanh
  move,        // mov, packing and unpacking
  global,      // loads and stores; a generic one counts where its first lane went
  shared,      //
  local,       //
  parameter,   // kernel parameters, constants, arguments of device functions
  atomic,      // atom, red
  async_copy,  // cp.async and its waits, mbarrier
  shuffle,     // shfl, vote, match, redux, activemask
  matrix,      // mma, wmma, ldmatrix, stmatrix, movmatrix
  barrier,     // bar, barrier, bar.warp.sync, fences
  control,     // bra, brx, call, ret, exit, trap
  count
};
constexpr size_t kInstructionClasses = static_cast<size_t>(InstructionClass::count);
std::string_view name_of(InstructionClass instruction_class);

// Sums over a launch. Exact; the same for every run of a kernel whose control flow does not depend on the order in
// which blocks run.
struct Counters {
  std::array<uint64_t, kInstructionClasses> warp_instructions{};  // issued, also where a predicate switched all off
  std::array<uint64_t, kInstructionClasses> lane_instructions{};  // of lanes that were active and not predicated off
  uint64_t flops = 0;  // of lanes, fp16 to fp64: 1 for add and multiply, 2 for fma, 2 m n k for a matrix instruction

  // Global memory, cp.async and wmma included, atomics apart. A sector is 32 bytes, counted once for a warp
  // instruction however many lanes touch it.
  uint64_t global_load_requests = 0, global_store_requests = 0;  // warp instructions with at least one lane
  uint64_t global_load_sectors = 0, global_store_sectors = 0;
  uint64_t global_load_bytes = 0, global_store_bytes = 0;  // what lanes asked for
  uint64_t global_atomic_sectors = 0, global_atomic_bytes = 0;

  // Shared memory: 32 banks of 4 bytes; 64-bit accesses go by half warps, 128-bit ones by quarter warps, ldmatrix by
  // matrices of 8 rows. Conflicts are the wavefronts beyond one for each of those.
  uint64_t shared_load_wavefronts = 0, shared_store_wavefronts = 0;
  uint64_t shared_load_conflicts = 0, shared_store_conflicts = 0;
  uint64_t shared_load_bytes = 0, shared_store_bytes = 0;

  uint64_t local_load_bytes = 0, local_store_bytes = 0;
  uint64_t matrix_instructions = 0;  // mma and wmma.mma
  uint64_t barriers = 0;             // block-wide or named ones completed
  uint64_t branches = 0, divergent_branches = 0;
  uint64_t blocks = 0, warps = 0;

  uint64_t total_warp_instructions() const;
  uint64_t total_lane_instructions() const;
  Counters& operator+=(const Counters& other);
  bool operator==(const Counters&) const = default;
};

enum class FindingKind {
  launch_limit,       // grid, block, shared memory; nothing was run
  argument_size,      // nothing was run
  out_of_bounds,      // global, shared, local, parameter
  misaligned,         //
  unwritten_read,     // global, shared or local memory that nothing was written to
  read_only_write,    // to constants or parameters
  shared_race,        // two threads, no barrier between, one of them writes
  divergent_barrier,  // an aligned barrier that only a part of a warp reaches
  deadlock,           // every warp that is left waits
  missing_wait,       // shared memory read or written with an asynchronous copy to it in flight
  warp_sync,          // a .sync instruction with a member mask that its lanes do not fit
  trap,               // trap or a failed assert; the launch ends
  endless_loop,       // over the instruction limit; the launch ends
  invalid_operation,  // a call or branch through a bad target, too deep a recursion, a bad barrier; the launch ends
};
std::string_view name_of(FindingKind kind);

struct Finding {
  FindingKind kind{};
  std::string kernel;
  uint32_t line = 0;                          // of the PTX text, from 1; 0 where no instruction is to blame
  std::string source;                         // "file.cu:123" from .loc, empty without -lineinfo
  std::array<uint32_t, 3> block{}, thread{};  // the first that did it: lowest block, then first in time
  uint64_t address = 0;                       // in its own space
  uint64_t count = 1;                         // lanes that did the same at the same line, over the launch
  std::string text;                           // what happened, with sizes and the allocation
  std::string message() const;                // all of it in one line
};

struct Report {
  Counters counters;
  std::vector<Finding> findings;  // one for each kind and line, ordered by block
  std::string printed;            // by printf, block after block
};

// Runs the entry over the whole grid and returns when it is done. Throws Error for a name that is not in the module or
// an entry with instructions that are not covered; everything the kernel does wrong is a finding. A wrong access does
// nothing (a load gives 0) and the kernel goes on.
Report launch(Memory& memory, const Module& module, std::string_view entry, const Launch& launch,
              std::span<const std::byte> arguments, const Options& options = {});

}  // namespace wkv::emulator
