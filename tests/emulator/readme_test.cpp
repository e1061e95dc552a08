// The example in harness/emulator/README.md compiles and does what it says.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>

#include "tests/emulator/device.hpp"

namespace {

std::string without_blanks(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == ' ' || c == '\n'; }), text.end());
  return text;
}

std::string read(const std::string& path) {
  std::ifstream stream(std::string(WKV_SOURCE_DIR "/") + path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t from = text.find(begin);
  REQUIRE(from != std::string::npos);
  return text.substr(from + begin.size(), text.find(end, from + begin.size()) - from - begin.size());
}

}  // namespace

TEST_CASE("the README's example of the emulated device") {
  std::stringstream printed;
  std::streambuf* const terminal = std::cout.rdbuf(printed.rdbuf());
  // EXAMPLE
  const wkv::emulator::Module module = wkv::emulator::Module::parse(R"(
  .version 9.0
  .target sm_90
  .address_size 64
  .visible .entry twice(.param .u64 values, .param .u32 count) {
    .reg .pred %p; .reg .b32 %r<5>; .reg .f32 %f<3>; .reg .b64 %d<2>;
    ld.param.u64 %d0, [values];
    ld.param.u32 %r0, [count];
    mov.u32 %r1, %ctaid.x;  mov.u32 %r2, %ntid.x;  mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    setp.ge.u32 %p, %r4, %r0;
    @%p ret;
    mad.wide.u32 %d1, %r4, 4, %d0;
    ld.global.f32 %f0, [%d1];  add.f32 %f1, %f0, %f0;  st.global.f32 [%d1], %f1;
    ret;
  })",
                                                                    "twice.ptx");
  wkv::emulator::Memory memory;
  std::vector<float> values(100, 1.5f);
  struct {
    uint64_t address;
    uint32_t count;
  } arguments = {memory.allocate(400, "values"), 100};
  memory.copy_in(arguments.address, values.data(), 400);
  const wkv::emulator::Report report = wkv::emulator::launch(memory, module, "twice", {.grid = {4}, .block = {32}},
                                                             std::as_bytes(std::span(&arguments, 1)).first(12));
  memory.copy_out(values.data(), arguments.address, 400);
  for (const auto& finding : report.findings) std::cout << finding.message() << "\n";
  std::cout << report.counters.global_load_sectors << " sectors read\n";  // 13: 400 bytes in sectors of 32
  // END
  std::cout.rdbuf(terminal);
  CHECK(printed.str() == "13 sectors read\n");
  CHECK(values == std::vector<float>(100, 3.0f));
  const std::string source = read("tests/emulator/readme_test.cpp");
  CHECK(without_blanks(between(source, "// EXAMPLE\n", "// END")) ==
        without_blanks(between(read("harness/emulator/README.md"), "```cpp\n", "```")));
}
