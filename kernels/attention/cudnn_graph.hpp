// Causal attention as an operation graph of cuDNN, which makes one kernel of it (its "fused flash attention"), and the
// engines for it. cuDNN knows the pattern by the operations and the order of these:
//   s = q k^T / sqrt(N), or what vanishes where the key is behind the query; m = max s, e = exp(s - m), l = sum e,
//   log l + m, p = e / l, y = p v
// log l + m, by which training goes back, is a part of the pattern although nothing reads it here: without it
// cuDNN 9.19 finds no engine. p has the dtype of v; what is before it is fp32.
#pragma once

#include <deque>

#include "kernels/cudnn.hpp"

namespace wkv::kernels::cudnn {

// cudnnBackendDescriptorType_t
constexpr int kPointwise = 0, kEngineConfig = 3, kEngineHeuristics = 4, kExecutionPlan = 5, kPointwiseOperation = 13,
              kOperationGraph = 15, kVariantPack = 16, kTensor = 17, kMatmul = 18, kMatmulOperation = 19,
              kReduction = 21, kReductionOperation = 22;
// cudnnBackendAttributeType_t
constexpr int kHandleType = 0, kDataTypeType = 1, kBooleanType = 2, kInt64Type = 3, kPointerType = 6,
              kHeuristicsModeType = 8, kPointwiseModeType = 14, kDescriptorType = 15, kReductionType = 18;
// cudnnBackendAttributeName_t
constexpr int kPointwiseMode = 0, kPointwisePrecision = 1, kPointwiseAxis = 9;
constexpr int kHeuristicsMode = 200, kHeuristicsGraph = 201, kHeuristicsResults = 202, kHeuristicsDevice = 204;
constexpr int kPlanHandle = 400, kPlanConfig = 401, kPlanWorkspaceBytes = 402;
constexpr int kPointwiseDescriptor = 750, kPointwiseX = 751, kPointwiseB = 752, kPointwiseY = 753,
              kPointwiseCondition = 758;
constexpr int kGraphHandle = 800, kGraphOperations = 801;
constexpr int kTensorAlignment = 900, kTensorDataType = 901, kTensorDimensions = 902, kTensorStrides = 903,
              kTensorId = 906, kTensorIsVirtual = 907, kTensorIsByValue = 908;
constexpr int kPackIds = 1000, kPackPointers = 1001, kPackWorkspace = 1003;
constexpr int kMatmulPrecision = 1500, kMatmulA = 1520, kMatmulB = 1521, kMatmulC = 1522, kMatmulDescriptor = 1523;
constexpr int kReductionOperator = 1600, kReductionPrecision = 1601, kReductionX = 1610, kReductionY = 1611,
              kReductionDescriptor = 1612;
// cudnnPointwiseMode_t, cudnnReduceTensorOp_t, cudnnBackendHeurMode_t
constexpr int kAdd = 0, kMultiply = 1, kDivide = 6, kSubtract = 9, kExponential = 13, kLogarithm = 15,
              kGreaterOrEqual = 303, kIndex = 501, kSelect = 601;
constexpr int kSum = 0, kMaximum = 3;
constexpr int kFallback = 2, kBestFirst = 3;

// A descriptor of the backend's, set up attribute by attribute and then final.
class Backend {
 public:
  Backend(const Functions& library, int type) : library_(library) { library.create_backend(type, &descriptor_); }
  ~Backend() { library_.destroy_backend.result(descriptor_); }
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  operator BackendDescriptor() const { return descriptor_; }

  // The elements are as the type says: int for enumerations, bool, int64_t, or pointers.
  template <class Element>
  Backend& set(int attribute, int type, const std::vector<Element>& elements) {
    library_.set_attribute(descriptor_, attribute, type, static_cast<int64_t>(elements.size()), elements.data());
    return *this;
  }
  template <class Element>
  Backend& set(int attribute, int type, Element element) {
    library_.set_attribute(descriptor_, attribute, type, 1, &element);
    return *this;
  }
  Backend& finalize() {
    library_.finalize(descriptor_);
    return *this;
  }

 private:
  const Functions& library_;
  BackendDescriptor descriptor_ = nullptr;
};

class AttentionGraph {
 public:
  // Tensors that are not only between two operations; the last two are numbers in the host's memory.
  enum Id : int64_t { kQ = 1, kK, kV, kY, kScale, kMasked, kFirstVirtual };

  // Without a handle for engines of another device than this machine's.
  AttentionGraph(const Functions& library, Handle handle, const Problem& p) : library_(library) {
    const int64_t B = p.B, T = p.T, H = p.H, N = p.N, C = p.channels();
    const int dtype = type_of(p.dtype);
    const std::vector<int64_t> rows{B, H, T, N}, row_strides{T * C, N, C, 1};
    const BackendDescriptor q = tensor(kQ, dtype, rows, row_strides), v = tensor(kV, dtype, rows, row_strides),
                            y = tensor(kY, dtype, rows, row_strides),
                            k_transposed = tensor(kK, dtype, {B, H, N, T}, {T * C, N, 1, C}),
                            scale = tensor(kScale, kF32, {1, 1, 1, 1}, {1, 1, 1, 1}),
                            masked = tensor(kMasked, kF32, {1, 1, 1, 1}, {1, 1, 1, 1});
    const auto scores = [&](int type) { return tensor(next_id_++, type, {B, H, T, T}, {H * T * T, T * T, T, 1}); };
    const auto column = [&] { return tensor(next_id_++, kF32, {B, H, T, 1}, {H * T, T, 1, 1}); };

    const BackendDescriptor products = matmul(q, k_transposed, scores(kF32)),
                            scaled = pointwise(kMultiply, {products, scale}, scores(kF32)),
                            query = index_along(2, scaled, scores(kI32)), key = index_along(3, scaled, scores(kI32)),
                            seen = pointwise(kGreaterOrEqual, {query, key}, scores(kBoolean), kBoolean),
                            s = pointwise(kSelect, {scaled, masked, seen}, scores(kF32)),
                            m = reduction(kMaximum, s, column()), shifted = pointwise(kSubtract, {s, m}, scores(kF32)),
                            e = pointwise(kExponential, {shifted}, scores(kF32)), l = reduction(kSum, e, column()),
                            log_l = pointwise(kLogarithm, {l}, column());
    pointwise(kAdd, {m, log_l}, column());
    const BackendDescriptor weights = pointwise(kDivide, {e, l}, scores(dtype));
    matmul(weights, v, y);

    graph_.set(kGraphOperations, kDescriptorType, operations_);
    if (handle != nullptr) graph_.set(kGraphHandle, kHandleType, handle);
    graph_.finalize();
  }

  operator BackendDescriptor() const { return graph_; }

 private:
  Backend& descriptor(int type) { return descriptors_.emplace_back(library_, type); }

  BackendDescriptor tensor(int64_t id, int type, const std::vector<int64_t>& extents,
                           const std::vector<int64_t>& strides) {
    return descriptor(kTensor)
        .set(kTensorId, kInt64Type, id)
        .set(kTensorDataType, kDataTypeType, type)
        .set(kTensorDimensions, kInt64Type, extents)
        .set(kTensorStrides, kInt64Type, strides)
        .set(kTensorAlignment, kInt64Type, int64_t{16})
        .set(kTensorIsVirtual, kBooleanType, id >= kFirstVirtual)
        .set(kTensorIsByValue, kBooleanType, id == kScale || id == kMasked)
        .finalize();
  }

  BackendDescriptor operation(Backend& its_descriptor, BackendDescriptor result) {
    operations_.push_back(its_descriptor.finalize());
    return result;
  }

  BackendDescriptor matmul(BackendDescriptor a, BackendDescriptor b, BackendDescriptor result) {
    const BackendDescriptor how = descriptor(kMatmul).set(kMatmulPrecision, kDataTypeType, kF32).finalize();
    return operation(descriptor(kMatmulOperation)
                         .set(kMatmulDescriptor, kDescriptorType, how)
                         .set(kMatmulA, kDescriptorType, a)
                         .set(kMatmulB, kDescriptorType, b)
                         .set(kMatmulC, kDescriptorType, result),
                     result);
  }

  BackendDescriptor reduction(int which, BackendDescriptor x, BackendDescriptor result) {
    const BackendDescriptor how = descriptor(kReduction)
                                      .set(kReductionPrecision, kDataTypeType, kF32)
                                      .set(kReductionOperator, kReductionType, which)
                                      .finalize();
    return operation(descriptor(kReductionOperation)
                         .set(kReductionDescriptor, kDescriptorType, how)
                         .set(kReductionX, kDescriptorType, x)
                         .set(kReductionY, kDescriptorType, result),
                     result);
  }

  // Of one tensor, two, or two and a condition.
  BackendDescriptor pointwise(int mode, const std::vector<BackendDescriptor>& from, BackendDescriptor result,
                              int precision = kF32) {
    return pointwise(descriptor(kPointwise), mode, from, result, precision);
  }
  BackendDescriptor index_along(int64_t axis, BackendDescriptor like, BackendDescriptor result) {
    return pointwise(descriptor(kPointwise).set(kPointwiseAxis, kInt64Type, axis), kIndex, {like}, result, kF32);
  }
  BackendDescriptor pointwise(Backend& how, int mode, const std::vector<BackendDescriptor>& from,
                              BackendDescriptor result, int precision) {
    how.set(kPointwiseMode, kPointwiseModeType, mode).set(kPointwisePrecision, kDataTypeType, precision).finalize();
    Backend& its_descriptor = descriptor(kPointwiseOperation);
    its_descriptor.set(kPointwiseDescriptor, kDescriptorType, BackendDescriptor{how});
    constexpr std::array kInputs{kPointwiseX, kPointwiseB, kPointwiseCondition};
    for (size_t i = 0; i < from.size(); ++i) its_descriptor.set(kInputs[i], kDescriptorType, from[i]);
    return operation(its_descriptor.set(kPointwiseY, kDescriptorType, result), result);
  }

  const Functions& library_;
  std::deque<Backend> descriptors_;
  std::vector<BackendDescriptor> operations_;
  int64_t next_id_ = kFirstVirtual;
  Backend graph_{library_, kOperationGraph};
};

// Engines that run the graph, the best first as the library thinks: on this machine's device, or on the one that the
// properties, another descriptor, describe.
inline std::deque<Backend> engine_configs(const Functions& library, const AttentionGraph& graph, int mode,
                                          BackendDescriptor device_properties = nullptr) {
  Backend heuristics(library, kEngineHeuristics);
  heuristics.set(kHeuristicsGraph, kDescriptorType, BackendDescriptor{graph});
  heuristics.set(kHeuristicsMode, kHeuristicsModeType, mode);
  if (device_properties != nullptr) heuristics.set(kHeuristicsDevice, kDescriptorType, device_properties);
  heuristics.finalize();
  int64_t most = 0, found = 0;
  library.get_attribute(heuristics, kHeuristicsResults, kDescriptorType, 0, &most, nullptr);
  std::deque<Backend> configs;
  std::vector<BackendDescriptor> to_fill;
  while (static_cast<int64_t>(configs.size()) < most) {
    to_fill.push_back(configs.emplace_back(library, kEngineConfig));
  }
  library.get_attribute(heuristics, kHeuristicsResults, kDescriptorType, most, &found, to_fill.data());
  while (static_cast<int64_t>(configs.size()) > found) configs.pop_back();
  return configs;
}

}  // namespace wkv::kernels::cudnn
