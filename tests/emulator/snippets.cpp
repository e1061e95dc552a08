#include "tests/emulator/snippets.hpp"

#include <fmt/format.h>

#include "tests/emulator/device.hpp"

namespace test {
namespace {

constexpr size_t kLanes = 32, kOperands = 4;

std::string entry_for(const Snippet& snippet, size_t index) {
  std::string body = fmt::format(R"(
.visible .entry snippet_{}(.param .u64 in, .param .u64 out) {{
  .reg .b16 %a16, %b16, %c16, %e16, %d16;
  .reg .b32 %a, %b, %c, %e, %d, %lane;
  .reg .b64 %a64, %b64, %c64, %e64, %d64, %in, %out;
  .reg .pred %pa, %pb, %pc, %pe, %p, %q;
  ld.param.u64 %in, [in];
  ld.param.u64 %out, [out];
  mov.u32 %lane, %laneid;
  mad.wide.u32 %in, %lane, 32, %in;
  mad.wide.u32 %out, %lane, 8, %out;
  mov.u64 %d64, 0;
  mov.u32 %d, 0;
  mov.u16 %d16, 0;
  setp.ne.u32 %p, 0, 0;
)",
                                 index);
  size_t offset = 0;
  for (const char name : {'a', 'b', 'c', 'e'}) {
    body += fmt::format(
        "  ld.global.b64 %{0}64, [%in+{1}];\n  cvt.u32.u64 %{0}, %{0}64;\n  cvt.u16.u64 %{0}16, %{0}64;\n"
        "  setp.ne.u64 %p{0}, %{0}64, 0;\n",
        name, offset);
    offset += 8;
  }
  const auto gives = [&](std::string_view name) { return snippet.ptx.find(name) != std::string_view::npos; };
  body += fmt::format("  {}\n", snippet.ptx);
  if (gives("%p,") || gives("%p|")) body += "  selp.u64 %d64, 1, 0, %p;\n";
  if (!gives("%d64") && gives("%d16")) body += "  cvt.u64.u16 %d64, %d16;\n";
  if (!gives("%d64") && !gives("%d16") && gives("%d")) body += "  cvt.u64.u32 %d64, %d;\n";
  return body + "  st.global.b64 [%out], %d64;\n  ret;\n}\n";
}

}  // namespace

void check_snippets(const std::vector<Snippet>& snippets) {
  std::string text = ptx_module("");
  for (size_t i = 0; i < snippets.size(); ++i) text += entry_for(snippets[i], i);
  const auto module = wkv::emulator::Module::parse(text, "snippets");
  for (size_t i = 0; i < snippets.size(); ++i) {
    const Snippet& snippet = snippets[i];
    CAPTURE(snippet.ptx);
    std::vector<uint64_t> operands(kLanes * kOperands);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const Case& here = snippet.cases[lane % snippet.cases.size()];
      for (size_t k = 0; k < here.operands.size(); ++k) operands[lane * kOperands + k] = here.operands[k].bits;
    }
    Device device;
    const uint64_t in = device.put(operands), out = device.room_for<uint64_t>(kLanes);
    const std::string name = fmt::format("snippet_{}", i);
    CAPTURE(module.entry(name).unsupported);
    REQUIRE(module.entry(name).unsupported.empty());
    device.run(module, name, 1, kLanes, in, out);
    const auto results = device.get<uint64_t>(out, kLanes);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const size_t number = lane % snippet.cases.size();
      CAPTURE(number, lane, fmt::format("{:#x}", results[lane]),
              fmt::format("{:#x}", snippet.cases[number].result.bits));
      CHECK(results[lane] == snippet.cases[number].result.bits);
    }
  }
}

}  // namespace test
