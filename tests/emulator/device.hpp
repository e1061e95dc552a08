// An emulated device for tests: host vectors in and out, kernels launched with plain arguments.
#pragma once

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "harness/emulator/emulator.hpp"

namespace test {

class Device {
 public:
  template <class T>
  uint64_t put(const std::vector<T>& values) {
    const uint64_t address = memory.allocate(values.size() * sizeof(T));
    memory.copy_in(address, values.data(), values.size() * sizeof(T));
    return address;
  }
  template <class T>
  std::vector<T> get(uint64_t address, size_t count) const {
    std::vector<T> values(count);
    memory.copy_out(values.data(), address, count * sizeof(T));
    return values;
  }
  template <class T>
  uint64_t room_for(size_t count) {
    return memory.allocate(count * sizeof(T));
  }

  // Arguments one after the other, each at a multiple of its size, as in C.
  template <class... Arguments>
  wkv::emulator::Report launch(const wkv::emulator::Module& module, std::string_view entry, uint32_t blocks,
                               uint32_t threads, const Arguments&... arguments) {
    std::vector<std::byte> bytes;
    [[maybe_unused]] const auto append = [&](const auto& argument) {
      bytes.resize((bytes.size() + sizeof argument - 1) / sizeof argument * sizeof argument + sizeof argument);
      std::memcpy(&bytes[bytes.size() - sizeof argument], &argument, sizeof argument);
    };
    (append(arguments), ...);
    return wkv::emulator::launch(memory, module, entry, {.grid = {blocks, 1, 1}, .block = {threads, 1, 1}}, bytes);
  }
  // The same, for kernels that do nothing wrong.
  template <class... Arguments>
  wkv::emulator::Counters run(const wkv::emulator::Module& module, std::string_view entry, uint32_t blocks,
                              uint32_t threads, const Arguments&... arguments) {
    const wkv::emulator::Report report = launch(module, entry, blocks, threads, arguments...);
    for (const wkv::emulator::Finding& finding : report.findings) UNSCOPED_INFO(finding.message());
    CHECK(report.findings.empty());
    return report.counters;
  }

  wkv::emulator::Memory memory;
};

inline std::string ptx_module(std::string_view body) {
  return ".version 8.8\n.target sm_90\n.address_size 64\n" + std::string(body);
}

}  // namespace test
