// Matrix instructions as a kernel writes them: fragments by the PTX ISA's formulas, results against plain products.
#include <fmt/format.h>

#include <random>

#include "harness/emulator/float_format.hpp"
#include "tests/emulator/device.hpp"

using namespace wkv::emulator;
using test::Device;

namespace {

Module module_of(const std::string& body) {
  Module module = Module::parse(test::ptx_module(body), "matrix");
  INFO(module.entries().front().unsupported);
  REQUIRE(module.entries().front().unsupported.empty());
  return module;
}

std::vector<float> random_matrix(uint32_t elements, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(elements);
  for (float& value : values) value = (static_cast<int>(random() % 17) - 8) / 4.0f;
  return values;
}
template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> result;
  for (const float value : values) result.push_back(round_to<T>(value));
  return result;
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c,
                           size_t m, size_t n, size_t k) {
  std::vector<float> d(m * n);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double sum = c[i * n + j];
      for (size_t l = 0; l < k; ++l) sum += static_cast<double>(a[i * k + l]) * b[l * n + j];
      d[i * n + j] = static_cast<float>(sum);
    }
  }
  return d;
}

// Loads of one lane's fragments: rows g and g + 8, columns 2 t and 2 t + 1 (and 8 more), of row-major A (16 x 16) and
// column-major B; C and D row-major 16 x 8.
constexpr std::string_view kMmaKernel = R"(
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d) {
  .reg .b32 %lane, %g, %t, %i, %a<4>, %b<2>;
  .reg .f32 %c<4>;
  .reg .b64 %pa, %pb, %pc, %pd, %o;
  ld.param.u64 %pa, [a]; ld.param.u64 %pb, [b]; ld.param.u64 %pc, [c]; ld.param.u64 %pd, [d];
  mov.u32 %lane, %laneid;
  shr.u32 %g, %lane, 2;
  and.b32 %t, %lane, 3;
  mad.lo.u32 %i, %g, 8, %t;
  mul.wide.u32 %o, %i, 4;
  add.u64 %pa, %pa, %o;
  add.u64 %pb, %pb, %o;
  ld.global.b32 %a0, [%pa]; ld.global.b32 %a1, [%pa+256]; ld.global.b32 %a2, [%pa+16]; ld.global.b32 %a3, [%pa+272];
  ld.global.b32 %b0, [%pb]; ld.global.b32 %b1, [%pb+16];
  mad.lo.u32 %i, %g, 4, %t;
  mul.wide.u32 %o, %i, 8;
  add.u64 %pc, %pc, %o;
  add.u64 %pd, %pd, %o;
  ld.global.v2.f32 {%c0, %c1}, [%pc]; ld.global.v2.f32 {%c2, %c3}, [%pc+256];
  mma.sync.aligned.m16n8k16.row.col.f32.TYPE.TYPE.f32 {%c0, %c1, %c2, %c3}, {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c0, %c1, %c2, %c3};
  st.global.v2.f32 [%pd], {%c0, %c1}; st.global.v2.f32 [%pd+256], {%c2, %c3};
  ret;
})";

template <class T>
void check_mma(std::string_view type) {
  std::string text(kMmaKernel);
  for (size_t at; (at = text.find("TYPE")) != std::string::npos;) text.replace(at, 4, type);
  const Module module = module_of(text);
  const auto a = random_matrix(16 * 16, 1), b = random_matrix(16 * 8, 2), c = random_matrix(16 * 8, 3);
  std::vector<float> b_columns(b.size());
  for (size_t k = 0; k < 16; ++k) {
    for (size_t n = 0; n < 8; ++n) b_columns[n * 16 + k] = b[k * 8 + n];
  }
  Device device;
  const uint64_t at_a = device.put(rounded<T>(a)), at_b = device.put(rounded<T>(b_columns)), at_c = device.put(c),
                 at_d = device.room_for<float>(128);
  const Counters counters = device.run(module, "k", 1, 32, at_a, at_b, at_c, at_d);
  CHECK(device.get<float>(at_d, 128) == product(a, b, c, 16, 8, 16));
  CHECK(counters.matrix_instructions == 1);
  CHECK(counters.flops == 2 * 16 * 8 * 16);
  CHECK(counters.warp_instructions[static_cast<size_t>(InstructionClass::matrix)] == 1);
}

}  // namespace

TEST_CASE("instructions: mma.sync m16n8k16") {
  check_mma<F16>("f16");
  check_mma<BF16>("bf16");
}

TEST_CASE("instructions: mma.sync by a part of a warp is found") {
  std::string text(kMmaKernel);
  for (size_t at; (at = text.find("TYPE")) != std::string::npos;) text.replace(at, 4, "f16");
  text.replace(text.find("  mma.sync"), 0, "  .reg .pred %p; setp.gt.u32 %p, %lane, 30; @%p ret;\n");
  Device device;
  const uint64_t a = device.put(std::vector<F16>(256)), b = device.put(std::vector<F16>(128)),
                 c = device.put(std::vector<float>(128)), d = device.room_for<float>(128);
  const Report report = device.launch(module_of(text), "k", 1, 32, a, b, c, d);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == FindingKind::warp_sync);
  CHECK(report.findings[0].text.find("0x7fffffff") != std::string::npos);
}

TEST_CASE("instructions: ldmatrix, stmatrix and movmatrix") {
  // Lane l stores row l of four 8 x 8 matrices, 16 bytes; then the warp loads them as the case says.
  const auto run = [](std::string_view tail) {
    const Module module = module_of(fmt::format(R"(
.visible .entry k(.param .u64 in, .param .u64 out) {{
  .shared .align 16 .b8 tile[512], tile2[512];
  .reg .b32 %lane, %r<4>, %v<4>, %s, %s2;
  .reg .b64 %from, %to, %o;
  ld.param.u64 %from, [in]; ld.param.u64 %to, [out];
  mov.u32 %lane, %laneid;
  mul.wide.u32 %o, %lane, 16;
  add.u64 %from, %from, %o; add.u64 %to, %to, %o;
  ld.global.v4.b32 {{%v0, %v1, %v2, %v3}}, [%from];
  mov.u32 %s, tile; mad.lo.u32 %s, %lane, 16, %s;
  mov.u32 %s2, tile2; mad.lo.u32 %s2, %lane, 16, %s2;
  st.shared.v4.b32 [%s], {{%v0, %v1, %v2, %v3}};
  bar.warp.sync -1;
  mov.b32 %r0, 0; mov.b32 %r1, 0; mov.b32 %r2, 0; mov.b32 %r3, 0;
  {}
  st.global.v4.b32 [%to], {{%r0, %r1, %r2, %r3}};
  ret;
}})",
                                                tail));
    std::vector<uint16_t> in(256);
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint16_t>(i);
    Device device;
    const uint64_t from = device.put(in), to = device.room_for<uint32_t>(128);
    const Counters counters = device.run(module, "k", 1, 32, from, to);
    CHECK(counters.shared_load_conflicts == 0);
    return device.get<uint32_t>(to, 128);
  };
  const auto plain = [](uint32_t lane, uint32_t matrix) {
    const uint32_t first = matrix * 64 + lane / 4 * 8 + lane % 4 * 2;
    return (first + 1) << 16 | first;
  };
  const auto transposed = [](uint32_t lane, uint32_t matrix) {
    const uint32_t first = matrix * 64 + lane % 4 * 16 + lane / 4;
    return (first + 8) << 16 | first;
  };
  const auto check = [&](std::string_view tail, uint32_t matrices, const auto& expected) {
    const std::vector<uint32_t> result = run(tail);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      for (uint32_t i = 0; i < 4; ++i) {
        CAPTURE(tail, lane, i);
        CHECK(result[lane * 4 + i] == (i < matrices ? expected(lane, i) : 0));
      }
    }
  };
  check("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0, %r1, %r2, %r3}, [%s];", 4, plain);
  check("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r0, %r1, %r2, %r3}, [%s];", 4, transposed);
  check("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r0, %r1}, [%s];", 2, plain);
  check("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%r0}, [%s];", 1, transposed);
  check(
      "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%s]; movmatrix.sync.aligned.m8n8.trans.b16 %r0, %r1; mov.b32 "
      "%r1, 0;",
      1, transposed);
  // Stored from fragments and read back row by row.
  const auto rows = [](uint32_t lane, uint32_t i) { return (lane * 8 + 2 * i + 1) << 16 | (lane * 8 + 2 * i); };
  check(
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%v0, %v1, %v2, %v3}, [%s];"
      "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%s2], {%v0, %v1, %v2, %v3};"
      "bar.warp.sync -1; ld.shared.v4.b32 {%r0, %r1, %r2, %r3}, [%s2];",
      4, rows);
  check(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%v0, %v1, %v2, %v3}, [%s];"
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%s2], {%v0, %v1, %v2, %v3};"
      "bar.warp.sync -1; ld.shared.v4.b32 {%r0, %r1, %r2, %r3}, [%s2];",
      4, rows);
}

TEST_CASE("instructions: wmma loads and stores count what they touch once") {
  const Module module = module_of(R"(
.visible .entry k(.param .u64 a, .param .u64 d) {
  .reg .b32 %x<8>; .reg .f32 %f<8>; .reg .b64 %pa, %pd;
  ld.param.u64 %pa, [a]; ld.param.u64 %pd, [d];
  wmma.load.a.sync.aligned.row.m16n16k16.global.f16 {%x0, %x1, %x2, %x3, %x4, %x5, %x6, %x7}, [%pa];
  wmma.load.c.sync.aligned.row.m16n16k16.global.f32 {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, [%pd], 16;
  wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, {%x0, %x1, %x2, %x3, %x4, %x5, %x6, %x7},
    {%x0, %x1, %x2, %x3, %x4, %x5, %x6, %x7}, {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7};
  wmma.store.d.sync.aligned.row.m16n16k16.global.f32 [%pd], {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, 16;
  ret;
})");
  Device device;
  const uint64_t a = device.put(std::vector<F16>(256)), d = device.put(std::vector<float>(256));
  const Counters counters = device.run(module, "k", 1, 32, a, d);
  CHECK(counters.global_load_bytes == 512 + 1024);
  CHECK(counters.global_store_bytes == 1024);
  CHECK(counters.global_store_sectors == 32);
  CHECK(counters.flops == 2 * 16 * 16 * 16);
}
