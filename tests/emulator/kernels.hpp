// The kernels of tests/emulator/kernels, compiled by nvcc for two architectures.
#pragma once

#include <fstream>
#include <optional>
#include <sstream>

#include "tests/emulator/device.hpp"

namespace test {

// Calls body(module) for each architecture; says SKIPPED where there was no nvcc at build time.
template <class Body>
void for_each_architecture(const std::string& name, const Body& body) {
  for (const char* architecture : {"sm_80", "sm_90"}) {
    const std::string file = name + "." + architecture + ".ptx";
    std::ifstream stream(std::string(WKV_TEST_PTX "/") + file);
    if (!stream) {
      WARN("SKIPPED: " << file << " was not made, there is no nvcc");
      continue;
    }
    std::stringstream text;
    text << stream.rdbuf();
    const auto module = wkv::emulator::Module::parse(text.str(), file);
    for (const auto& entry : module.entries()) {
      CAPTURE(file, entry.name, entry.unsupported);
      CHECK(entry.unsupported.empty());
    }
    INFO(architecture);
    body(module);
  }
}

}  // namespace test
