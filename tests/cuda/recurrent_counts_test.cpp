// What the CUDA variants of LSTM and GRU do, counted by the emulated device, against what their design says.
#include "tests/cuda/wkv5_counts.hpp"

namespace wkv {
namespace {

// Of one run: each kernel with the number of its launches.
std::vector<KernelCounts> counts_of(const std::string& op, std::string_view name, const Problem& problem) {
  Executor executor(1);
  Workload workload(operator_named(op), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
  EmulatedDevice device;
  for (const Variant* variant : variants_of(op)) {
    if (variant->name != name) continue;
    const auto runner = make_runner(*variant, workload, executor, &device);
    runner->upload(0);
    runner->run(0);
  }
  REQUIRE(device.counts().size() == 2);
  return {device.counts().begin(), device.counts().end()};
}

struct Sizes {
  Sizes(const std::string& op, const Problem& p)
      : B(static_cast<uint64_t>(p.B)),
        T(static_cast<uint64_t>(p.new_tokens())),
        C(static_cast<uint64_t>(p.channels())),
        element(size_of(p.dtype)),
        gates(op == "lstm" ? 4 : 3),
        blocks(C / 8),
        passes(B == 1 ? 1 : (B + 3) / 4),
        // Of a channel's step of one entry: sums of x, b_hh, and c (LSTM) or h (GRU).
        cell_bytes(4 * (gates + gates + 1)) {}

  uint64_t B, T, C, element, gates, blocks, passes, cell_bytes;
};

void check_input_products(const KernelCounts& kernel, const Sizes& s) {
  const uint64_t tokens = s.B * s.T, rows = s.gates * s.C, row_tiles = (rows + 63) / 64,
                 token_tiles = (tokens + 63) / 64;
  const emulator::Counters& counters = kernel.counters;
  CHECK(kernel.launches == 1);
  CHECK(counters.global_load_bytes ==
        row_tiles * tokens * s.C * s.element + token_tiles * rows * s.C * 4 + tokens * rows * 4);
  CHECK(counters.global_store_bytes == tokens * rows * 4);
  CHECK(counters.flops == row_tiles * token_tiles * 2 * 64 * 64 * s.C + tokens * rows);
  CHECK(counters.barriers == row_tiles * token_tiles * 2 * s.C / 32);
  check_no_conflicts(counters);
  check_no_spills(kernel.attributes);
}

TEST_CASE("lstm and gru cuda_stepwise: counters are those of its design") {
  const std::string op = GENERATE("lstm", "gru");
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const int64_t B = GENERATE(1, 3, 6);
  const Problem problem{.B = B, .T = 5, .H = 2, .N = 64, .dtype = dtype};
  CAPTURE(op, to_string(problem));
  const Sizes s(op, problem);
  const auto kernels = counts_of(op, "cuda_stepwise", problem);
  check_input_products(kernels[0], s);

  const emulator::Counters& counters = kernels[1].counters;
  CHECK(kernels[1].launches == s.T);
  CHECK(counters.blocks == s.T * s.blocks);
  CHECK(counters.barriers == s.T * s.blocks * 2 * s.passes);
  const uint64_t w_hh = s.passes * s.gates * s.C * s.C * 4, h = s.C * s.B * s.C * 4;  // each warp reads all of h
  CHECK(counters.global_load_bytes == s.T * (w_hh + h + s.B * s.C * s.cell_bytes));
  const uint64_t states = op == "lstm" ? 8 : 4;
  CHECK(counters.global_store_bytes == s.T * s.B * s.C * (states + s.element));
  const uint64_t shared_b_hh = (s.B - s.passes) * s.gates * s.C * 4;  // by the entries of a pass, in one request
  CHECK(counters.global_load_sectors == (counters.global_load_bytes - s.T * shared_b_hh) / 32);
  check_no_conflicts(counters);
  check_no_spills(kernels[1].attributes);
}

TEST_CASE("lstm and gru cuda_persistent: counters are those of its design") {
  const std::string op = GENERATE("lstm", "gru");
  const int64_t B = GENERATE(1, 6);
  const Problem problem{.B = B, .T = 5, .H = 2, .N = 64};
  CAPTURE(op, to_string(problem));
  const Sizes s(op, problem);
  const auto kernels = counts_of(op, "cuda_persistent", problem);
  check_input_products(kernels[0], s);

  const emulator::Counters& counters = kernels[1].counters;
  CHECK(kernels[1].launches == 1);
  CHECK(counters.blocks == s.blocks);
  CHECK(counters.barriers == s.blocks * (s.T * 2 * s.passes + (s.T - 1) * 2));
  const uint64_t w_hh = s.gates * s.C * s.C * 4, h = s.C * s.B * s.C * 4;  // all of h by each warp, w_hh once
  const uint64_t looks = counters.global_load_sectors -
                         (w_hh + s.T * (h + s.B * s.C * s.cell_bytes - (s.B - s.passes) * s.gates * s.C * 4)) / 32;
  CHECK(counters.global_load_bytes == w_hh + s.T * (h + s.B * s.C * s.cell_bytes) + looks * 4);
  CHECK(looks >= (s.T - 1) * s.blocks);  // at the counter of blocks, of a block once a token at least
  CHECK(counters.global_atomic_bytes == (s.T - 1) * s.blocks * 4);
  const uint64_t states = op == "lstm" ? 8 : 4;
  CHECK(counters.global_store_bytes == s.T * s.B * s.C * (states + s.element));
  check_no_conflicts(counters);
  check_no_spills(kernels[1].attributes);
}

TEST_CASE("lstm and gru cuda_persistent: supported where w_hh fits on the chip") {
  const Variant& lstm = variant_named("lstm", "cuda_persistent");
  CHECK(unsupported(lstm, {.H = 33, .N = 32}) == std::nullopt);
  CHECK(unsupported(lstm, {.H = 34, .N = 32}) ==
        "w_hh does not fit on the chip: it takes 136 multiprocessors with 137 KiB of shared memory each, and there are "
        "132 with 227 KiB");
  CHECK(unsupported(lstm, {.H = 1, .N = 48}) == "a hidden size that is not a multiple of 32");
}

}  // namespace
}  // namespace wkv
