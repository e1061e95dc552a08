// Conversion of sequence elements to and from fp32, in plain C++ that the compiler can vectorise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "harness/dtype.hpp"

namespace wkv::kernels {

inline float load(const float* from) { return *from; }
inline float load(const BFloat16* from) { return static_cast<float>(*from); }
inline float load(const Float16* from) { return static_cast<float>(*from); }
inline void store(float value, float* to) { *to = value; }
inline void store(float value, BFloat16* to) { *to = BFloat16(value); }
inline void store(float value, Float16* to) { *to = Float16(value); }

// Calls body with a null pointer of the dtype's element type, to pick a template's instance at run time.
// For variants that list f32 and bf16.
template <class Body>
decltype(auto) with_element_type(DType dtype, const Body& body) {
  if (dtype == DType::f32) return body(static_cast<float*>(nullptr));
  return body(static_cast<BFloat16*>(nullptr));
}

// For variants that list f16 too.
template <class Body>
decltype(auto) with_any_element_type(DType dtype, const Body& body) {
  if (dtype == DType::f16) return body(static_cast<Float16*>(nullptr));
  return with_element_type(dtype, body);
}

}  // namespace wkv::kernels
