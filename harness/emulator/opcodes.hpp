// The decoding functions by opcode, from all decode_*.cpp. Those that make vectorised handlers exist for each target.
#pragma once

#include "harness/emulator/decoder.hpp"

namespace wkv::emulator {

#define WKV_DECLARE_TARGET_OPCODES(target)   \
  namespace target {                         \
  void add_integer_opcodes(OpcodeTable&);    \
  void add_bit_opcodes(OpcodeTable&);        \
  void add_carry_opcodes(OpcodeTable&);      \
  void add_compare_opcodes(OpcodeTable&);    \
  void add_float_opcodes(OpcodeTable&);      \
  void add_move_opcodes(OpcodeTable&);       \
  void add_conversion_opcodes(OpcodeTable&); \
  inline void add_all(OpcodeTable& table) {  \
    add_integer_opcodes(table);              \
    add_bit_opcodes(table);                  \
    add_carry_opcodes(table);                \
    add_compare_opcodes(table);              \
    add_float_opcodes(table);                \
    add_move_opcodes(table);                 \
    add_conversion_opcodes(table);           \
  }                                          \
  }
WKV_DECLARE_TARGET_OPCODES(plain)
WKV_DECLARE_TARGET_OPCODES(avx2)
#undef WKV_DECLARE_TARGET_OPCODES

// What decoders of memory instructions share.
Space take_memory_space(Decoder& d);  // generic if none is named
InstructionClass class_of(Space space);
size_t take_cache_policy(Decoder& d);  // how many operands, none or one, follow for it

void add_memory_opcodes(OpcodeTable&);
void add_cache_opcodes(OpcodeTable&);
void add_async_opcodes(OpcodeTable&);
void add_atomic_opcodes(OpcodeTable&);
void add_control_opcodes(OpcodeTable&);
void add_barrier_opcodes(OpcodeTable&);
void add_shuffle_opcodes(OpcodeTable&);
void add_matrix_opcodes(OpcodeTable&);
void add_mbarrier_opcodes(OpcodeTable&);
void add_video_opcodes(OpcodeTable&);

// cvt.pack.
void decode_pack(Decoder& d, Op& op);

// cp.async.mbarrier.arrive and cp.async.bulk.
void decode_copy_arrival(Decoder& d, Op& op);
void decode_bulk_copy(Decoder& d, Op& op);

}  // namespace wkv::emulator
