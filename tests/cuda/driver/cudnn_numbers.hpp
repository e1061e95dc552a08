// Holds the numbers that the variants by cuDNN have for its types and attributes to NVIDIA's headers.
#pragma once

#include <cudnn.h>

#include "kernels/attention/cudnn_graph.hpp"
#include "kernels/cudnn_recurrent.hpp"

namespace ours = wkv::kernels::cudnn;

static_assert(ours::kF32 == CUDNN_DATA_FLOAT && ours::kF16 == CUDNN_DATA_HALF && ours::kI32 == CUDNN_DATA_INT32 &&
              ours::kBf16 == CUDNN_DATA_BFLOAT16 && ours::kBoolean == CUDNN_DATA_BOOLEAN);
static_assert(ours::kLstm == CUDNN_LSTM && ours::kGru == CUDNN_GRU &&
              ours::kStandardAlgorithm == CUDNN_RNN_ALGO_STANDARD && ours::kInference == CUDNN_FWD_MODE_INFERENCE &&
              ours::kDoubleBias == CUDNN_RNN_DOUBLE_BIAS && ours::kUnidirectional == CUDNN_UNIDIRECTIONAL &&
              ours::kLinearInput == CUDNN_LINEAR_INPUT && ours::kFmaMath == CUDNN_FMA_MATH &&
              ours::kBatchMajor == CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED &&
              ours::kPaddedIo == CUDNN_RNN_PADDED_IO_ENABLED);
static_assert(ours::kPointwise == CUDNN_BACKEND_POINTWISE_DESCRIPTOR &&
              ours::kEngineConfig == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR &&
              ours::kEngineHeuristics == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR &&
              ours::kExecutionPlan == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
              ours::kPointwiseOperation == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR &&
              ours::kOperationGraph == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR &&
              ours::kVariantPack == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR &&
              ours::kTensor == CUDNN_BACKEND_TENSOR_DESCRIPTOR && ours::kMatmul == CUDNN_BACKEND_MATMUL_DESCRIPTOR &&
              ours::kMatmulOperation == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR &&
              ours::kReduction == CUDNN_BACKEND_REDUCTION_DESCRIPTOR &&
              ours::kReductionOperation == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
static_assert(ours::kHandleType == CUDNN_TYPE_HANDLE && ours::kDataTypeType == CUDNN_TYPE_DATA_TYPE &&
              ours::kBooleanType == CUDNN_TYPE_BOOLEAN && ours::kInt64Type == CUDNN_TYPE_INT64 &&
              ours::kPointerType == CUDNN_TYPE_VOID_PTR && ours::kHeuristicsModeType == CUDNN_TYPE_HEUR_MODE &&
              ours::kPointwiseModeType == CUDNN_TYPE_POINTWISE_MODE &&
              ours::kDescriptorType == CUDNN_TYPE_BACKEND_DESCRIPTOR &&
              ours::kReductionType == CUDNN_TYPE_REDUCTION_OPERATOR_TYPE);
static_assert(ours::kPointwiseMode == CUDNN_ATTR_POINTWISE_MODE &&
              ours::kPointwisePrecision == CUDNN_ATTR_POINTWISE_MATH_PREC &&
              ours::kPointwiseAxis == CUDNN_ATTR_POINTWISE_AXIS &&
              ours::kHeuristicsMode == CUDNN_ATTR_ENGINEHEUR_MODE &&
              ours::kHeuristicsGraph == CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH &&
              ours::kHeuristicsResults == CUDNN_ATTR_ENGINEHEUR_RESULTS &&
              ours::kPlanHandle == CUDNN_ATTR_EXECUTION_PLAN_HANDLE &&
              ours::kPlanConfig == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG &&
              ours::kPlanWorkspaceBytes == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE &&
              ours::kPointwiseDescriptor == CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR &&
              ours::kPointwiseX == CUDNN_ATTR_OPERATION_POINTWISE_XDESC &&
              ours::kPointwiseB == CUDNN_ATTR_OPERATION_POINTWISE_BDESC &&
              ours::kPointwiseY == CUDNN_ATTR_OPERATION_POINTWISE_YDESC &&
              ours::kPointwiseCondition == CUDNN_ATTR_OPERATION_POINTWISE_TDESC &&
              ours::kGraphHandle == CUDNN_ATTR_OPERATIONGRAPH_HANDLE &&
              ours::kGraphOperations == CUDNN_ATTR_OPERATIONGRAPH_OPS);
static_assert(
    ours::kTensorAlignment == CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT &&
    ours::kTensorDataType == CUDNN_ATTR_TENSOR_DATA_TYPE && ours::kTensorDimensions == CUDNN_ATTR_TENSOR_DIMENSIONS &&
    ours::kTensorStrides == CUDNN_ATTR_TENSOR_STRIDES && ours::kTensorId == CUDNN_ATTR_TENSOR_UNIQUE_ID &&
    ours::kTensorIsVirtual == CUDNN_ATTR_TENSOR_IS_VIRTUAL && ours::kTensorIsByValue == CUDNN_ATTR_TENSOR_IS_BY_VALUE &&
    ours::kPackIds == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS &&
    ours::kPackPointers == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS &&
    ours::kPackWorkspace == CUDNN_ATTR_VARIANT_PACK_WORKSPACE &&
    ours::kMatmulPrecision == CUDNN_ATTR_MATMUL_COMP_TYPE && ours::kMatmulA == CUDNN_ATTR_OPERATION_MATMUL_ADESC &&
    ours::kMatmulB == CUDNN_ATTR_OPERATION_MATMUL_BDESC && ours::kMatmulC == CUDNN_ATTR_OPERATION_MATMUL_CDESC &&
    ours::kMatmulDescriptor == CUDNN_ATTR_OPERATION_MATMUL_DESC &&
    ours::kReductionOperator == CUDNN_ATTR_REDUCTION_OPERATOR &&
    ours::kReductionPrecision == CUDNN_ATTR_REDUCTION_COMP_TYPE &&
    ours::kReductionX == CUDNN_ATTR_OPERATION_REDUCTION_XDESC &&
    ours::kReductionY == CUDNN_ATTR_OPERATION_REDUCTION_YDESC &&
    ours::kReductionDescriptor == CUDNN_ATTR_OPERATION_REDUCTION_DESC);
static_assert(ours::kAdd == CUDNN_POINTWISE_ADD && ours::kMultiply == CUDNN_POINTWISE_MUL &&
              ours::kDivide == CUDNN_POINTWISE_DIV && ours::kSubtract == CUDNN_POINTWISE_SUB &&
              ours::kExponential == CUDNN_POINTWISE_EXP && ours::kLogarithm == CUDNN_POINTWISE_LOG &&
              ours::kGreaterOrEqual == CUDNN_POINTWISE_CMP_GE && ours::kIndex == CUDNN_POINTWISE_GEN_INDEX &&
              ours::kSelect == CUDNN_POINTWISE_BINARY_SELECT && ours::kSum == CUDNN_REDUCE_TENSOR_ADD &&
              ours::kMaximum == CUDNN_REDUCE_TENSOR_MAX && ours::kFallback == CUDNN_HEUR_MODE_FALLBACK &&
              ours::kBestFirst == CUDNN_HEUR_MODE_A);
#if CUDNN_VERSION >= 90800
static_assert(ours::kHeuristicsDevice == CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
#endif
