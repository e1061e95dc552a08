// Compiles the including file once more for AVX2: it names itself in WKV_TARGET_FILE and puts what is to be compiled
// for each target into namespace WKV_TARGET. opcode_table() picks what the machine has, so that the program runs on
// every x86-64. Everything else that the file includes must come before this header. WKV_FEW_TARGETS leaves AVX2 out.
#if !defined(WKV_TARGET)

#if defined(__x86_64__) && !defined(WKV_FEW_TARGETS)
#define WKV_HAVE_AVX2_TARGET 1
#define WKV_TARGET avx2
#define WKV_TARGET_HAS_FMA 1  // __FMA__ does not follow the pragma where a compiler cache preprocesses by itself
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2,f16c")
#include "harness/emulator/lanes.hpp"
#include WKV_TARGET_FILE
#pragma GCC pop_options
#undef WKV_TARGET
#undef WKV_TARGET_HAS_FMA
#endif

#define WKV_TARGET plain
#include "harness/emulator/lanes.hpp"

#endif
