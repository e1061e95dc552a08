// Kernels of a few lines for tests of the emulated device.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/emulator/device.hpp"

namespace test {

// An entry "k" with two parameters, addresses in and out, and the body in it. There are registers %p0-15 (predicates),
// %h0-15, %r0-31, %f0-15, %d0-31 and %e0-7 (fp64) of the usual sizes, of which %r0 is the thread's index in the block,
// %d0 and %d1 are in and out, %d2 and %d3 the thread's own 4 bytes there. Declarations stand before the entry.
inline std::string small_kernel(std::string_view body, std::string_view declarations = {}) {
  return ptx_module(std::string(declarations) + R"(
.visible .entry k(.param .u64 in, .param .u64 out) {
  .reg .pred %p<16>;
  .reg .b16 %h<16>;
  .reg .b32 %r<32>;
  .reg .f32 %f<16>;
  .reg .b64 %d<32>;
  .reg .f64 %e<8>;
  ld.param.u64 %d0, [in];
  ld.param.u64 %d1, [out];
  mov.u32 %r0, %tid.x;
  mad.wide.u32 %d2, %r0, 4, %d0;
  mad.wide.u32 %d3, %r0, 4, %d1;
)" + std::string(body) +
                    "\n  ret;\n}\n");
}

// The number, from 1, of the line on which the marker stands; 0 if it is nowhere.
inline uint32_t line_of(std::string_view text, std::string_view marker) {
  const size_t at = text.find(marker);
  if (at == std::string_view::npos) return 0;
  return static_cast<uint32_t>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n')) + 1;
}

struct SmallRun {
  std::vector<uint32_t> out;  // a word for each thread of the block
  wkv::emulator::Report report;
};

// Runs a small kernel on blocks of that many threads; in holds its index in each word, out the poison 0xdead.
inline SmallRun run_small(const std::string& text, uint32_t threads, uint32_t blocks = 1) {
  Device device;
  const auto module = wkv::emulator::Module::parse(text, "small");
  std::vector<uint32_t> in(threads), out(threads, 0xdead);
  for (uint32_t i = 0; i < threads; ++i) in[i] = i;
  const uint64_t in_address = device.put(in), out_address = device.put(out);
  SmallRun run;
  run.report = device.launch(module, "k", blocks, threads, in_address, out_address);
  run.out = device.get<uint32_t>(out_address, threads);
  return run;
}

// The same for kernels that do nothing wrong; gives what they wrote.
inline std::vector<uint32_t> run_clean(const std::string& text, uint32_t threads, uint32_t blocks = 1) {
  SmallRun run = run_small(text, threads, blocks);
  for (const auto& finding : run.report.findings) UNSCOPED_INFO(finding.message());
  CHECK(run.report.findings.empty());
  return run.out;
}

}  // namespace test
