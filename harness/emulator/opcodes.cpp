#include "harness/emulator/opcodes.hpp"

namespace wkv::emulator {
namespace {

OpcodeTable make_table() {
  OpcodeTable table;
#if defined(__x86_64__) && !defined(WKV_FEW_TARGETS)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("f16c")) {
    avx2::add_all(table);
  }
#endif
  if (table.empty()) plain::add_all(table);
  add_memory_opcodes(table);
  add_cache_opcodes(table);
  add_async_opcodes(table);
  add_atomic_opcodes(table);
  add_control_opcodes(table);
  add_barrier_opcodes(table);
  add_shuffle_opcodes(table);
  add_matrix_opcodes(table);
  add_mbarrier_opcodes(table);
  add_video_opcodes(table);
  return table;
}

}  // namespace

const OpcodeTable& opcode_table() {
  static const OpcodeTable table = make_table();
  return table;
}

}  // namespace wkv::emulator
