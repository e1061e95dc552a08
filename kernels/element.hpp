// Conversion of sequence elements to and from fp32, in plain C++ that the compiler can vectorise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "harness/dtype.hpp"

namespace wkv::kernels {

inline float load(const float* from) { return *from; }
inline float load(const BFloat16* from) { return static_cast<float>(*from); }
inline void store(float value, float* to) { *to = value; }
inline void store(float value, BFloat16* to) { *to = BFloat16(value); }

// Calls body with a null pointer of the dtype's element type, to pick a template's instance at run time.
template <class Body>
decltype(auto) with_element_type(DType dtype, const Body& body) {
  if (dtype == DType::f32) return body(static_cast<float*>(nullptr));
  return body(static_cast<BFloat16*>(nullptr));
}

}  // namespace wkv::kernels
