// mbarriers, and asynchronous copies that report to them.
#include <fmt/format.h>

#include <numeric>

#include "harness/emulator/mbarrier.hpp"
#include "tests/emulator/device.hpp"

using namespace wkv::emulator;
using test::Device;

namespace {

// %t is the thread, %bar the barrier (initialised for `count` arrivals), %tile 4 bytes of shared memory a thread and
// %in a word of global memory a thread, %out the word to write.
Module kernel(uint32_t count, std::string_view body) {
  Module module = Module::parse(test::ptx_module(fmt::format(R"(
.visible .entry k(.param .u64 in, .param .u64 out) {{
  .shared .align 8 .b64 barrier;
  .shared .align 16 .b8 tiles[1024];
  .reg .b32 %t, %bar, %tile, %other, %v, %base, %n; .reg .b64 %in, %out, %state, %in0; .reg .pred %first, %p, %q;
  ld.param.u64 %in0, [in]; ld.param.u64 %out, [out];
  mov.u32 %t, %tid.x;
  mad.wide.u32 %in, %t, 4, %in0; mad.wide.u32 %out, %t, 4, %out;
  mov.u32 %bar, barrier; mov.u32 %base, tiles;
  mad.lo.u32 %tile, %t, 4, %base;
  xor.b32 %other, %t, 32;
  mad.lo.u32 %other, %other, 4, %base;
  setp.eq.u32 %first, %t, 0;
  @%first mbarrier.init.shared::cta.b64 [%bar], {};
  bar.sync 0;
  {}
  ret;
}})",
                                                             count, body)),
                                "mbarrier");
  INFO(body);
  INFO(module.entry("k").unsupported);
  REQUIRE(module.entry("k").unsupported.empty());
  return module;
}

std::vector<uint32_t> numbers() {
  std::vector<uint32_t> values(64);
  std::iota(values.begin(), values.end(), 1000);
  return values;
}

struct Outcome {
  Report report;
  std::vector<uint32_t> out;
};
Outcome run(uint32_t count, std::string_view body) {
  const Module module = kernel(count, body);
  Device device;
  const uint64_t in = device.put(numbers()), out = device.put(std::vector<uint32_t>(64));
  Outcome outcome;
  outcome.report = device.launch(module, "k", 1, 64, in, out);
  outcome.out = device.get<uint32_t>(out, 64);
  for (const Finding& finding : outcome.report.findings) UNSCOPED_INFO(finding.message());
  return outcome;
}
void check_exchanged(const Outcome& outcome) {  // every thread has the word of the thread 32 on
  CHECK(outcome.report.findings.empty());
  for (uint32_t t = 0; t < 64; ++t) CHECK(outcome.out[t] == 1000 + (t ^ 32));
}

constexpr std::string_view kStore = "ld.global.u32 %v, [%in]; st.shared.u32 [%tile], %v;\n";
constexpr std::string_view kCopy = "cp.async.ca.shared.global [%tile], [%in], 4;\n";
constexpr std::string_view kArrive = "mbarrier.arrive.shared::cta.b64 %state, [%bar];\n";
constexpr std::string_view kWait = "W: mbarrier.try_wait.shared::cta.b64 %p, [%bar], %state; @!%p bra W;\n";
constexpr std::string_view kRead = "ld.shared.u32 %v, [%other]; st.global.u32 [%out], %v;\n";

std::string join(std::initializer_list<std::string_view> parts) {
  std::string all;
  for (const std::string_view part : parts) all += part;
  return all;
}

}  // namespace

TEST_CASE("mbarrier: the object counts arrivals and bytes down") {
  Mbarrier barrier;
  barrier.expected = barrier.pending = 3;
  CHECK(barrier.arrive(2));
  CHECK_FALSE(barrier.phase);
  CHECK_FALSE(barrier.arrive(2));
  barrier.bytes += 32;
  CHECK(barrier.arrive(1));
  CHECK_FALSE(barrier.phase);
  barrier = Mbarrier::from_bits(barrier.bits());
  CHECK(barrier.bytes == 32);
  barrier.bytes -= 32;
  barrier.complete_if_nothing_is_missing();
  CHECK(barrier.phase);
  CHECK(barrier.pending == 3);
  barrier.bytes = -5;
  CHECK(Mbarrier::from_bits(barrier.bits()).bytes == -5);
  CHECK(Mbarrier::from_bits(barrier.bits()).valid);
  CHECK_FALSE(Mbarrier::from_bits(0).valid);
}

TEST_CASE("mbarrier: threads arrive and wait, by state and by parity") {
  check_exchanged(run(64, join({kStore, kArrive, kWait, kRead})));
  check_exchanged(run(64, join({kStore,
                                "mbarrier.arrive.shared.b64 _, [%bar];\n"
                                "W: mbarrier.test_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra W;\n",
                                kRead})));
  // Two arrivals in one instruction of each thread.
  check_exchanged(
      run(128, join({kStore, "mbarrier.arrive.release.cta.shared::cta.b64 %state, [%bar], 2;\n", kWait, kRead})));
}

TEST_CASE("mbarrier: phases follow one another, and threads can drop out") {
  const Outcome outcome = run(64, R"(
  mbarrier.arrive.shared.b64 %state, [%bar];
V: mbarrier.test_wait.shared.b64 %p, [%bar], %state; @!%p bra V;
  bar.sync 0;
  setp.ge.u32 %q, %t, 32;
  @%q mbarrier.arrive_drop.shared.b64 %state, [%bar];
  @!%q mbarrier.arrive.shared.b64 %state, [%bar];
W: mbarrier.test_wait.shared.b64 %p, [%bar], %state; @!%p bra W;
  bar.sync 0;
  @%q bra END;
  mbarrier.arrive.shared.b64 %state, [%bar];
  mbarrier.pending_count.b64 %v, %state;
  st.global.u32 [%out], %v;
X: mbarrier.test_wait.shared.b64 %p, [%bar], %state; @!%p bra X;
END:)");
  CHECK(outcome.report.findings.empty());
  for (uint32_t t = 0; t < 32; ++t) CHECK(outcome.out[t] == 32 - t);  // lanes arrive in order
}

TEST_CASE("mbarrier: asynchronous copies arrive when it is waited for") {
  check_exchanged(run(64, join({kCopy, "cp.async.mbarrier.arrive.shared.b64 [%bar];\n", kArrive, kWait, kRead})));
  check_exchanged(run(64, join({kCopy,
                                "cp.async.mbarrier.arrive.noinc.shared.b64 [%bar];\n"
                                "W: mbarrier.test_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra W;\n",
                                kRead})));
}

TEST_CASE("mbarrier: a copy that it was not told of is still in flight") {
  const Outcome outcome = run(64, join({kCopy, kArrive, kWait, kRead}));
  REQUIRE_FALSE(outcome.report.findings.empty());
  CHECK(outcome.report.findings[0].kind == FindingKind::missing_wait);
}

TEST_CASE("mbarrier: reading without waiting is a race") {
  const Outcome outcome = run(64, join({kStore, kArrive, kRead}));
  REQUIRE_FALSE(outcome.report.findings.empty());
  CHECK((outcome.report.findings[0].kind == FindingKind::shared_race ||
         outcome.report.findings[0].kind == FindingKind::unwritten_read));
}

TEST_CASE("mbarrier: bulk copies complete bytes") {
  check_exchanged(run(1, join({R"(
  @%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [%bar], 256;
  @%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%base], [%in0], 256, [%bar];
W: mbarrier.try_wait.parity.shared::cta.b64 %p, [%bar], 0; @!%p bra W;
)",
                               kRead})));
}

TEST_CASE("mbarrier: what is wrong with one is found") {
  const Outcome too_many = run(1, kArrive);
  CHECK(too_many.report.findings.empty());  // each arrival completes a phase
  const Outcome none = run(1, "st.shared.b64 [tiles], %in; bar.sync 0; mbarrier.arrive.shared.b64 %state, [tiles];");
  REQUIRE_FALSE(none.report.findings.empty());
  const auto is_invalid = [](const Finding& finding) { return finding.kind == FindingKind::invalid_operation; };
  CHECK(std::any_of(none.report.findings.begin(), none.report.findings.end(), is_invalid));
  const Outcome above = run(1, "@%first mbarrier.arrive.shared.b64 %state, [%bar], 5;");
  REQUIRE(above.report.findings.size() == 1);
  CHECK(above.report.findings[0].kind == FindingKind::invalid_operation);
  CHECK(above.report.findings[0].text.find("more arrivals") != std::string::npos);
}
