// libFuzzer's entry points around one target, WKV_FUZZ_TARGET. Its seeds go into the command line's first folder.
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/targets.hpp"

namespace {
const wkv::fuzz::Target& target = wkv::fuzz::WKV_FUZZ_TARGET;
}

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  for (int i = 1; i < *count; ++i) {
    const std::filesystem::path folder = (*arguments)[i];
    if (!std::filesystem::is_directory(folder)) continue;
    int number = 0;
    for (const std::string& seed : target.seeds()) {
      std::ofstream(folder / ("seed-" + std::to_string(number++)), std::ios::binary) << seed;
    }
    break;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target.accepts(std::as_bytes(std::span(data, size)));
  return 0;
}
