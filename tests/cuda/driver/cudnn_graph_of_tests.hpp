// Descriptors of cuDNN's graph API for cudnn_of_tests.cpp, and an interpreter of the graphs that they make.
#pragma once

#include <cuda.h>
#include <cudnn.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "harness/dtype.hpp"

namespace cudnn_of_tests {

// A descriptor of the graph API: its attributes' elements as they were set.
struct Object {
  cudnnBackendDescriptorType_t type = {};
  std::map<int, std::vector<std::byte>> attributes;
  bool is_final = false;

  template <class Element>
  std::vector<Element> all(int attribute) const {
    const std::vector<std::byte>& bytes = attributes.at(attribute);
    std::vector<Element> elements(bytes.size() / sizeof(Element));
    std::memcpy(elements.data(), bytes.data(), bytes.size());
    return elements;
  }
  template <class Element>
  Element one(int attribute) const {
    const std::vector<std::byte>& bytes = attributes.at(attribute);
    if (bytes.size() != sizeof(Element)) std::abort();  // set as another type
    Element element;
    std::memcpy(&element, bytes.data(), sizeof(element));
    return element;
  }
  const Object& at(int attribute) const { return *one<Object*>(attribute); }
  bool has(int attribute) const { return attributes.contains(attribute); }
};

inline size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
      return sizeof(bool);
    case CUDNN_TYPE_INT64:
      return sizeof(int64_t);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return sizeof(void*);
    default:
      return sizeof(int);  // enumerations
  }
}

// Four dimensions, row by row, extents of 1 for those that a number or a column lacks.
struct Tensor {
  std::array<int64_t, 4> extents{};
  std::vector<double> values{};

  double at(int64_t b, int64_t h, int64_t row, int64_t column) const {
    const auto pick = [&](size_t axis, int64_t index) { return extents[axis] == 1 ? 0 : index; };
    return values[static_cast<size_t>(
        ((pick(0, b) * extents[1] + pick(1, h)) * extents[2] + pick(2, row)) * extents[3] + pick(3, column))];
  }
};

template <class Element>
Tensor filled(const std::array<int64_t, 4>& extents, const Element& element) {
  Tensor tensor{.extents = extents};
  for (int64_t b = 0; b < extents[0]; ++b) {
    for (int64_t h = 0; h < extents[1]; ++h) {
      for (int64_t row = 0; row < extents[2]; ++row) {
        for (int64_t column = 0; column < extents[3]; ++column) tensor.values.push_back(element(b, h, row, column));
      }
    }
  }
  return tensor;
}

inline std::array<int64_t, 4> extents_of(const Object& tensor) {
  const auto extents = tensor.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  return {extents.at(0), extents.at(1), extents.at(2), extents.at(3)};
}

inline bool is_bf16(const Object& tensor) {
  return tensor.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_BFLOAT16;
}

// A graph's tensors while it runs: those of the variant pack, and what operations made.
class Interpreter {
 public:
  explicit Interpreter(const Object& pack) {
    const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto pointers = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (size_t i = 0; i < ids.size(); ++i) data_[ids[i]] = pointers.at(i);
  }

  void run(const Object& operation) {
    if (operation.type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) {
      const Tensor a = get(operation.at(CUDNN_ATTR_OPERATION_MATMUL_ADESC)),
                   b = get(operation.at(CUDNN_ATTR_OPERATION_MATMUL_BDESC));
      make(operation.at(CUDNN_ATTR_OPERATION_MATMUL_CDESC), [&](int64_t i, int64_t h, int64_t row, int64_t column) {
        double sum = 0;
        for (int64_t k = 0; k < a.extents[3]; ++k) sum += a.at(i, h, row, k) * b.at(i, h, k, column);
        return sum;
      });
    } else if (operation.type == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR) {
      const Tensor x = get(operation.at(CUDNN_ATTR_OPERATION_REDUCTION_XDESC));
      const auto which =
          operation.at(CUDNN_ATTR_OPERATION_REDUCTION_DESC).one<cudnnReduceTensorOp_t>(CUDNN_ATTR_REDUCTION_OPERATOR);
      make(operation.at(CUDNN_ATTR_OPERATION_REDUCTION_YDESC), [&](int64_t b, int64_t h, int64_t row, int64_t) {
        double result = which == CUDNN_REDUCE_TENSOR_MAX ? -INFINITY : 0;
        for (int64_t i = 0; i < x.extents[3]; ++i) {
          const double value = x.at(b, h, row, i);
          result = which == CUDNN_REDUCE_TENSOR_MAX ? std::max(result, value) : result + value;
        }
        return result;
      });
    } else {
      run_pointwise(operation);
    }
  }

 private:
  void run_pointwise(const Object& operation) {
    const Object& how = operation.at(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const auto mode = how.one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    std::vector<Tensor> from;
    for (const int port : {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                           CUDNN_ATTR_OPERATION_POINTWISE_TDESC}) {
      if (operation.has(port)) from.push_back(get(operation.at(port)));
    }
    make(operation.at(CUDNN_ATTR_OPERATION_POINTWISE_YDESC), [&](int64_t b, int64_t h, int64_t row, int64_t column) {
      const auto value = [&](size_t port) { return from.at(port).at(b, h, row, column); };
      switch (mode) {
        case CUDNN_POINTWISE_ADD:
          return value(0) + value(1);
        case CUDNN_POINTWISE_SUB:
          return value(0) - value(1);
        case CUDNN_POINTWISE_MUL:
          return value(0) * value(1);
        case CUDNN_POINTWISE_DIV:
          return value(0) / value(1);
        case CUDNN_POINTWISE_EXP:
          return std::exp(value(0));
        case CUDNN_POINTWISE_LOG:
          return std::log(value(0));
        case CUDNN_POINTWISE_CMP_GE:
          return value(0) >= value(1) ? 1.0 : 0.0;
        case CUDNN_POINTWISE_GEN_INDEX: {
          const std::array<int64_t, 4> index{b, h, row, column};
          return static_cast<double>(index.at(static_cast<size_t>(how.one<int64_t>(CUDNN_ATTR_POINTWISE_AXIS))));
        }
        case CUDNN_POINTWISE_BINARY_SELECT:
          return value(2) != 0 ? value(0) : value(1);
        default:
          std::abort();
      }
    });
  }

  // Of an operation that made it, or out of memory.
  Tensor get(const Object& tensor) {
    const auto id = tensor.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
    if (tensor.one<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) return made_.at(id);
    if (tensor.one<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE)) {
      return {.extents = {1, 1, 1, 1}, .values = {double{*static_cast<const float*>(data_.at(id))}}};
    }
    return filled(extents_of(tensor), [&](auto... index) {
      uint16_t bits = 0;
      cuMemcpyDtoH(&bits, address(tensor, index...), sizeof(bits));
      if (is_bf16(tensor)) return double{float(std::bit_cast<wkv::BFloat16>(bits))};
      return double{float(std::bit_cast<wkv::Float16>(bits))};
    });
  }

  template <class Element>
  void make(const Object& tensor, const Element& element) {
    const Tensor result = filled(extents_of(tensor), element);
    if (tensor.one<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) {
      made_[tensor.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)] = result;
      return;
    }
    filled(extents_of(tensor), [&](auto... index) {
      const auto value = static_cast<float>(result.at(index...));
      const auto bits = is_bf16(tensor) ? wkv::BFloat16(value).bits : wkv::Float16(value).bits;
      cuMemcpyHtoD(address(tensor, index...), &bits, sizeof(bits));
      return 0.0;
    });
  }

  CUdeviceptr address(const Object& tensor, int64_t b, int64_t h, int64_t row, int64_t column) {
    const auto strides = tensor.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
    const int64_t offset = b * strides.at(0) + h * strides.at(1) + row * strides.at(2) + column * strides.at(3);
    return reinterpret_cast<CUdeviceptr>(data_.at(tensor.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID))) +
           static_cast<size_t>(offset) * sizeof(uint16_t);
  }

  std::map<int64_t, void*> data_;
  std::map<int64_t, Tensor> made_;
};

}  // namespace cudnn_of_tests
