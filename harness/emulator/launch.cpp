#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "harness/emulator/block.hpp"

namespace wkv::emulator {
namespace {

// Compute capability 8.0 and 9.0; shared memory as on 9.0.
constexpr uint32_t kMaxThreads = 1024;
constexpr Dim3 kMaxBlock{1024, 1024, 64};
constexpr Dim3 kMaxGrid{0x7fffffff, 65535, 65535};
constexpr uint32_t kMaxStaticShared = 48 * 1024;
constexpr uint32_t kMaxArguments = 32764;

bool within(const Dim3& size, const Dim3& limit) {
  return size.x >= 1 && size.y >= 1 && size.z >= 1 && size.x <= limit.x && size.y <= limit.y && size.z <= limit.z;
}

std::string text_of(const Dim3& size) { return fmt::format("({}, {}, {})", size.x, size.y, size.z); }

// Blocks for which there is room at the same time, by threads and shared memory; registers are the compiler's business.
uint64_t most_together(uint32_t threads, uint64_t shared) {
  constexpr uint64_t kBlocks = 32, kThreads = 2048, kReserved = 1024;  // of a multiprocessor, and of a block
  return kMultiprocessors * std::min({kBlocks, kThreads / threads, (kMaxShared + kReserved) / (shared + kReserved)});
}

// Why the launch cannot be, if it cannot.
std::optional<std::pair<FindingKind, std::string>> refusal(const Entry& entry, const Launch& launch,
                                                           size_t argument_bytes) {
  const auto limit = [](std::string text) { return std::pair(FindingKind::launch_limit, std::move(text)); };
  if (argument_bytes != entry.parameter_bytes) {
    return std::pair(FindingKind::argument_size,
                     fmt::format("{} bytes of arguments were given; its {} parameters take {}", argument_bytes,
                                 entry.parameters.size(), entry.parameter_bytes));
  }
  if (argument_bytes > kMaxArguments) {
    return limit(fmt::format("{} bytes of parameters; there can be {}", argument_bytes, kMaxArguments));
  }
  if (!within(launch.grid, kMaxGrid)) {
    return limit(fmt::format("a grid of {} blocks; each must be 1 to {}", text_of(launch.grid), text_of(kMaxGrid)));
  }
  if (!within(launch.block, kMaxBlock)) {
    return limit(fmt::format("a block of {} threads; each must be 1 to {}", text_of(launch.block), text_of(kMaxBlock)));
  }
  const uint32_t threads = launch.block.x * launch.block.y * launch.block.z;
  if (threads > kMaxThreads) {
    return limit(fmt::format("a block of {} threads; there can be {}", threads, kMaxThreads));
  }
  const auto& most = entry.max_block;
  if (most[0] && threads > double{1} * most[0] * most[1] * most[2]) {
    return limit(fmt::format("a block of {} threads; the kernel is compiled for {}", threads,
                             text_of({most[0], most[1], most[2]})));
  }
  const auto& required = entry.required_block;
  if (required[0] && required != std::array{launch.block.x, launch.block.y, launch.block.z}) {
    return limit(fmt::format("a block of {}; the kernel is compiled for ({}, {}, {})", text_of(launch.block),
                             required[0], required[1], required[2]));
  }
  if (entry.static_shared_bytes > kMaxStaticShared) {
    return limit(
        fmt::format("{} bytes of static shared memory; there can be {}", entry.static_shared_bytes, kMaxStaticShared));
  }
  const uint64_t shared = uint64_t{entry.static_shared_bytes} + launch.dynamic_shared_bytes;
  if (shared > kMaxShared) {
    return limit(fmt::format("{} bytes of shared memory, {} of them dynamic; there can be {}", shared,
                             launch.dynamic_shared_bytes, kMaxShared));
  }
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z,
                 room = most_together(threads, shared);
  if (launch.cooperative && blocks > room) {
    return limit(fmt::format("{} blocks that wait for each other; there is room for {}", blocks, room));
  }
  return std::nullopt;
}

// What functions that the entry can reach need.
struct Reach {
  std::vector<bool> functions;
  bool uses_common_shared = false;
  uint32_t granule = 16;
};

Reach reach_of(const ModuleImage& module, const Function& entry) {
  Reach reach;
  reach.functions.resize(module.functions.size());
  std::vector<uint32_t> open = {entry.index};
  reach.functions[entry.index] = true;
  while (!open.empty()) {
    const Function& function = *module.functions[open.back()];
    open.pop_back();
    reach.uses_common_shared = reach.uses_common_shared || function.uses_common_shared;
    reach.granule = std::min(reach.granule, function.shared_granule);
    const auto add = [&](uint32_t index) {
      if (reach.functions[index]) return;
      reach.functions[index] = true;
      open.push_back(index);
    };
    for (const uint32_t callee : function.callees) add(callee);
    if (!function.calls_pointers) continue;
    for (const auto& other : module.functions) {
      if (!other->is_entry && other->has_body) add(other->index);
    }
  }
  return reach;
}

Grid make_grid(MemoryImage& memory, const ModuleImage& module, const Function& entry, const Launch& launch,
               std::span<const std::byte> arguments, const Options& options) {
  Grid grid;
  grid.module = &module;
  grid.entry = &entry;
  grid.memory = &memory;
  grid.variable_addresses = &memory.place(module);
  grid.parameters.assign(arguments.begin(), arguments.end());
  grid.grid = launch.grid;
  grid.block = launch.block;
  constexpr uint32_t kDynamicAlignment = 1024;  // as kernels with swizzled layouts expect
  const uint32_t static_end = module.common_shared_bytes + entry.shared_bytes;
  grid.dynamic_offset = (static_end + kDynamicAlignment - 1) / kDynamicAlignment * kDynamicAlignment;
  if (launch.dynamic_shared_bytes == 0) grid.dynamic_offset = static_end;
  grid.shared_bytes = grid.dynamic_offset + launch.dynamic_shared_bytes;
  grid.shared_granule = reach_of(module, entry).granule;
  grid.check = options.check;
  grid.instruction_limit = options.instruction_limit;
  return grid;
}

// What the blocks of a launch have done, from all threads.
struct Sum {
  std::mutex mutex;
  Counters counters;
  FindingLog log;
  std::map<uint64_t, std::string> printed;
  std::exception_ptr error;
  std::atomic<uint64_t> aborted{~uint64_t{0}};  // the lowest block that was

  void add(Block& block) {
    block.sum_up();
    const std::lock_guard lock(mutex);
    counters += block.counters();
    log.merge(std::move(block.log()));
    printed.insert(block.printed().begin(), block.printed().end());
  }
  void note_end(const Block& block) {
    if (!block.aborted()) return;
    uint64_t lowest = aborted.load();
    while (block.index() < lowest && !aborted.compare_exchange_weak(lowest, block.index())) {
    }
  }
};

uint64_t block_count(const Grid& grid) { return uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z; }

// Hands out blocks in order to the threads, each with a block of its own to run them in.
void run_apart(const Grid& grid, int threads, Sum& sum) {
  const uint64_t blocks = block_count(grid);
  std::atomic<uint64_t> next{0};
  const auto work = [&] {
    try {
      Block block(grid);
      for (uint64_t index; (index = next++) < std::min(blocks, sum.aborted.load());) {
        block.start(index);
        while (block.advance()) {
        }
        sum.note_end(block);
      }
      sum.add(block);
    } catch (...) {
      const std::lock_guard lock(sum.mutex);
      sum.error = std::current_exception();
      sum.aborted = 0;
    }
  };
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const uint64_t workers = std::min<uint64_t>(blocks, threads > 0 ? static_cast<unsigned>(threads) : cores);
  std::vector<std::thread> others;
  for (uint64_t i = 1; i < workers; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  if (sum.error) std::rethrow_exception(sum.error);
}

// All blocks in turns, on this thread alone: so it is always the same how often one looks in vain for what another is
// to do. When one cannot go on, the others do not either.
void run_together(const Grid& grid, Sum& sum) {
  std::deque<Block> blocks;
  std::vector<Block*> live;
  for (uint64_t index = 0; index < block_count(grid); ++index) {
    live.push_back(&blocks.emplace_back(grid));
    live.back()->start(index);
  }
  bool stuck = false;
  while (!live.empty() && !stuck) {
    std::erase_if(live, [&](Block* block) {
      if (stuck || block->advance()) return false;
      stuck = block->live_warps() > 0;
      return true;
    });
  }
  for (Block& block : blocks) {
    sum.note_end(block);
    sum.add(block);
  }
}

Report run_blocks(const Grid& grid, bool cooperative, const Options& options) {
  Sum sum;
  if (cooperative) {
    run_together(grid, sum);
  } else {
    run_apart(grid, options.threads, sum);
  }
  Report report{sum.counters, std::move(sum.log).take(sum.aborted.load(), options.max_findings), {}};
  for (const auto& [index, text] : sum.printed) report.printed += text;
  return report;
}

}  // namespace

Report launch(Memory& memory, const Module& module, std::string_view name, const Launch& launch,
              std::span<const std::byte> arguments, const Options& options) {
  const Entry& entry = module.entry(name);
  if (!entry.unsupported.empty()) throw Error(entry.unsupported);
  if (const auto refused = refusal(entry, launch, arguments.size())) {
    Finding finding;
    finding.kind = refused->first;
    finding.kernel = entry.name;
    finding.text = refused->second;
    return {{}, {finding}, {}};
  }
  const ModuleImage& image = module.image();
  const Function& function = *image.functions[image.function_index.at(entry.name)];
  const Grid grid = make_grid(memory.image(), image, function, launch, arguments, options);
  return run_blocks(grid, launch.cooperative, options);
}

}  // namespace wkv::emulator
