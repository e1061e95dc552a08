// A library that plays cuDNN on the GPU of driver_of_tests.cpp, so that the code that loads and calls it runs in every
// test run. Its functions are the prototypes of NVIDIA's own headers; recurrent layers and operation graphs are
// computed by plain loops on the host.
#include <cuda.h>
#include <cudnn.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/cuda/driver/cudnn_graph_of_tests.hpp"
#include "tests/cuda/driver/cudnn_numbers.hpp"

struct cudnnContext {};
struct cudnnRNNStruct {
  int gates = 0, channels = 0;
};
struct cudnnRNNDataStruct {
  int length = 0, batch = 0, channels = 0;
};
struct cudnnTensorStruct {
  std::vector<int> extents;
};

namespace {

using cudnn_of_tests::Interpreter;
using cudnn_of_tests::Object;

int handles = 0, descriptors = 0;
std::string reason;  // of the last error

cudnnStatus_t refused(const char* why) {
  reason = why;
  return CUDNN_STATUS_BAD_PARAM;
}

bool asked_for(const char* variable) { return std::getenv(variable) != nullptr; }

// Descriptors that are made and destroyed in pairs.
template <class Object>
cudnnStatus_t create(Object** object) {
  *object = new Object;
  ++descriptors;
  return CUDNN_STATUS_SUCCESS;
}
template <class Object>
cudnnStatus_t destroy(Object* object) {
  delete object;
  --descriptors;
  return CUDNN_STATUS_SUCCESS;
}

std::vector<float> floats(const void* from, size_t count) {
  std::vector<float> values(count);
  cuMemcpyDtoH(values.data(), reinterpret_cast<CUdeviceptr>(from), count * sizeof(float));
  return values;
}
void put(const std::vector<float>& values, void* to) {
  cuMemcpyHtoD(reinterpret_cast<CUdeviceptr>(to), values.data(), values.size() * sizeof(float));
}

// Where a product's matrix and bias lie, in floats. The real one has all of w_ih, w_hh, b_ih and b_hh behind each
// other; CUDNN_OF_TESTS_SCATTERED=1 puts each gate's bias behind its matrix, products of x and of h by turns.
struct Placement {
  size_t matrix, bias;
};
Placement placement(const cudnnRNNStruct& rnn, size_t product) {
  const auto gates = static_cast<size_t>(rnn.gates), C = static_cast<size_t>(rnn.channels);
  if (asked_for("CUDNN_OF_TESTS_SCATTERED")) {
    const size_t at = (2 * (product % gates) + product / gates) * (C * C + C);
    return {at, at + C * C};
  }
  return {product * C * C, 2 * gates * C * C + product * C};
}
size_t weight_bytes(const cudnnRNNStruct& rnn) {
  const auto gates = static_cast<size_t>(rnn.gates), C = static_cast<size_t>(rnn.channels);
  return 2 * gates * (C * C + C) * sizeof(float);
}
constexpr size_t kWorkspaceBytes = 4096;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One batch entry: its x (T x C) to its y, h and c from the states before the first step to those after the last.
void run_layer(const cudnnRNNStruct& rnn, const std::vector<float>& weights, const float* x, float* y, float* h,
               float* c, int T) {
  const auto C = static_cast<size_t>(rnn.channels), gates = static_cast<size_t>(rnn.gates);
  const auto product = [&](size_t number, const float* factor, size_t row) {
    const Placement at = placement(rnn, number);
    double sum = weights[at.bias + row];
    for (size_t k = 0; k < C; ++k) sum += double{weights[at.matrix + row * C + k]} * factor[k];
    return sum;
  };
  for (int t = 0; t < T; ++t, x += C, y += C) {
    for (size_t n = 0; n < C; ++n) {
      const auto input = [&](size_t gate) { return product(gate, x, n); };
      const auto recurrent = [&](size_t gate) { return product(gates + gate, h, n); };
      const auto both = [&](size_t gate) { return input(gate) + recurrent(gate); };
      if (gates == 4) {
        const double cell = sigmoid(both(1)) * c[n] + sigmoid(both(0)) * std::tanh(both(2));
        c[n] = static_cast<float>(cell);
        y[n] = static_cast<float>(sigmoid(both(3)) * std::tanh(cell));
      } else {
        const double fresh = std::tanh(input(2) + sigmoid(both(0)) * recurrent(2)), update = sigmoid(both(1));
        y[n] = static_cast<float>((1 - update) * fresh + update * h[n]);
      }
    }
    std::copy_n(y, C, h);
  }
}

}  // namespace

extern "C" {

// CUDNN_OF_TESTS_FAILS=1 makes it a library that cannot start, CUDNN_OF_TESTS_RUN_FAILS=1 one that cannot run anything,
// CUDNN_OF_TESTS_ENGINES=n one whose heuristics propose n engines and not two.
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  reason = "";
  if (asked_for("CUDNN_OF_TESTS_FAILS")) return CUDNN_STATUS_NOT_INITIALIZED;
  *handle = new cudnnContext;
  ++handles;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  --handles;
  return CUDNN_STATUS_SUCCESS;
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_NOT_INITIALIZED ? "CUDNN_STATUS_NOT_INITIALIZED" : "CUDNN_STATUS_BAD_PARAM";
}

void cudnnGetLastErrorString(char* message, size_t max_size) {
  std::strncpy(message, reason.c_str(), max_size - 1);
  reason = "";
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) { return create(tensor); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) { return destroy(tensor); }

cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensor, cudnnDataType_t type, int dimensions,
                                         const int* extents, const int* strides) {
  if (type != CUDNN_DATA_FLOAT || dimensions != 3) return refused("not a state in fp32");
  if (strides[2] != 1 || strides[1] != extents[2] || strides[0] != extents[1] * extents[2]) return refused("strides");
  tensor->extents.assign(extents, extents + dimensions);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateRNNDescriptor(cudnnRNNDescriptor_t* rnn) { return create(rnn); }
cudnnStatus_t cudnnDestroyRNNDescriptor(cudnnRNNDescriptor_t rnn) { return destroy(rnn); }

cudnnStatus_t cudnnSetRNNDescriptor_v8(cudnnRNNDescriptor_t rnn, cudnnRNNAlgo_t algorithm, cudnnRNNMode_t cell,
                                       cudnnRNNBiasMode_t bias, cudnnDirectionMode_t direction,
                                       cudnnRNNInputMode_t input, cudnnDataType_t data_type, cudnnDataType_t precision,
                                       cudnnMathType_t math, int32_t input_size, int32_t hidden_size,
                                       int32_t projection, int32_t layers, cudnnDropoutDescriptor_t dropout,
                                       uint32_t flags) {
  const bool one_layer = algorithm == CUDNN_RNN_ALGO_STANDARD && direction == CUDNN_UNIDIRECTIONAL && layers == 1 &&
                         input == CUDNN_LINEAR_INPUT && dropout == nullptr && projection == hidden_size &&
                         input_size == hidden_size;
  if (!one_layer || bias != CUDNN_RNN_DOUBLE_BIAS || flags != CUDNN_RNN_PADDED_IO_ENABLED) return refused("layer");
  if (data_type != CUDNN_DATA_FLOAT || precision != CUDNN_DATA_FLOAT || math != CUDNN_FMA_MATH) return refused("fp32");
  if (cell != CUDNN_LSTM && cell != CUDNN_GRU) return refused("cell");
  *rnn = {cell == CUDNN_LSTM ? 4 : 3, hidden_size};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateRNNDataDescriptor(cudnnRNNDataDescriptor_t* sequence) { return create(sequence); }
cudnnStatus_t cudnnDestroyRNNDataDescriptor(cudnnRNNDataDescriptor_t sequence) { return destroy(sequence); }

cudnnStatus_t cudnnSetRNNDataDescriptor(cudnnRNNDataDescriptor_t sequence, cudnnDataType_t type,
                                        cudnnRNNDataLayout_t layout, int length, int batch, int channels,
                                        const int* lengths, void* fill) {
  if (type != CUDNN_DATA_FLOAT || layout != CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED) return refused("layout");
  for (int b = 0; b < batch; ++b) {
    if (lengths[b] != length || fill != nullptr) return refused("lengths");
  }
  *sequence = {length, batch, channels};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t, cudnnRNNDescriptor_t rnn, size_t* bytes) {
  *bytes = weight_bytes(*rnn);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNWeightParams(cudnnHandle_t, cudnnRNNDescriptor_t rnn, int32_t layer, size_t bytes,
                                      const void* space, int32_t product, cudnnTensorDescriptor_t, void** matrix,
                                      cudnnTensorDescriptor_t, void** bias) {
  if (layer != 0 || bytes != weight_bytes(*rnn) || product >= 2 * rnn->gates) return refused("no such product");
  auto* weights = static_cast<float*>(const_cast<void*>(space));
  const Placement at = placement(*rnn, static_cast<size_t>(product));
  *matrix = weights + at.matrix, *bias = weights + at.bias;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t, cudnnRNNDescriptor_t, cudnnForwardMode_t mode,
                                        cudnnRNNDataDescriptor_t, size_t* workspace, size_t* reserved) {
  if (mode != CUDNN_FWD_MODE_INFERENCE) return refused("training");
  *workspace = kWorkspaceBytes, *reserved = 0;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnRNNForward(cudnnHandle_t, cudnnRNNDescriptor_t rnn, cudnnForwardMode_t mode, const int32_t* lengths,
                              cudnnRNNDataDescriptor_t x_descriptor, const void* x, cudnnRNNDataDescriptor_t, void* y,
                              cudnnTensorDescriptor_t h_descriptor, const void* hx, void* hy, cudnnTensorDescriptor_t,
                              const void* cx, void* cy, size_t weight_space_bytes, const void* weight_space,
                              size_t workspace_bytes, void* workspace, size_t reserved_bytes, void* reserved) {
  if (asked_for("CUDNN_OF_TESTS_RUN_FAILS")) return refused("as the test wants it");
  const auto [length, batch, channels] = *x_descriptor;
  if (mode != CUDNN_FWD_MODE_INFERENCE || lengths != nullptr || weight_space_bytes != weight_bytes(*rnn)) {
    return refused("not the layer that was described");
  }
  if (h_descriptor->extents != std::vector<int>{1, batch, channels}) return refused("state");
  // A workspace that is its own: written over before the weights are read.
  if (workspace_bytes < kWorkspaceBytes || reserved_bytes != 0 || reserved != nullptr) return refused("workspace");
  cuMemsetD8(reinterpret_cast<CUdeviceptr>(workspace), 0xff, workspace_bytes);
  const auto C = static_cast<size_t>(channels), B = static_cast<size_t>(batch), T = static_cast<size_t>(length);
  const auto weights = floats(weight_space, weight_space_bytes / sizeof(float)), input = floats(x, B * T * C);
  std::vector<float> output(B * T * C), h = floats(hx, B * C), c(B * C);
  if (rnn->gates == 4) c = floats(cx, B * C);
  for (size_t b = 0; b < B; ++b) {
    run_layer(*rnn, weights, &input[b * T * C], &output[b * T * C], &h[b * C], &c[b * C], length);
  }
  put(output, y), put(h, hy);
  if (rnn->gates == 4) put(c, cy);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  Object* object = nullptr;
  create(&object);
  object->type = type;
  *descriptor = object;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  return destroy(static_cast<Object*>(descriptor));
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  auto& object = *static_cast<Object*>(descriptor);
  if (object.is_final) return refused("the descriptor is final");
  const auto* bytes = static_cast<const std::byte*>(elements);
  object.attributes[name].assign(bytes, bytes + static_cast<size_t>(count) * cudnn_of_tests::size_of(type));
  if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) return CUDNN_STATUS_SUCCESS;
  for (const Object* part : object.all<Object*>(name)) {
    if (!part->is_final) return refused("a descriptor that is not final");
  }
  return CUDNN_STATUS_SUCCESS;
}

// The first engine that the heuristics propose does not compile.
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  auto& object = *static_cast<Object*>(descriptor);
  if (object.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
      object.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).one<int64_t>(CUDNN_ATTR_ENGINECFG_ENGINE) == 0) {
    return refused("this engine does not compile");
  }
  object.is_final = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t requested, int64_t* count, void* elements) {
  const auto& object = *static_cast<Object*>(descriptor);
  if (!object.is_final) return refused("the descriptor is not final");
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
    *static_cast<int64_t*>(elements) = kWorkspaceBytes;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS) return refused("no such attribute");
  if (requested == 0) {  // as the real one: how many there may be, more than there are
    *count = 3;
    return CUDNN_STATUS_SUCCESS;
  }
  *count = asked_for("CUDNN_OF_TESTS_ENGINES") ? std::atoi(std::getenv("CUDNN_OF_TESTS_ENGINES")) : 2;
  for (int64_t i = 0; i < *count; ++i) {
    Object& config = *static_cast<Object**>(elements)[i];
    const Object* graph = &object.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    cudnnBackendSetAttribute(&config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_INT64, 1, &i);
    cudnnBackendSetAttribute(&config, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
    config.is_final = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  if (asked_for("CUDNN_OF_TESTS_RUN_FAILS")) return refused("as the test wants it");
  const auto &its_plan = *static_cast<Object*>(plan), &its_pack = *static_cast<Object*>(pack);
  if (!its_plan.is_final || !its_pack.is_final) return refused("a descriptor that is not final");
  if (its_plan.one<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE) != handle) return refused("another handle's plan");
  auto* workspace = its_pack.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (cuMemsetD8(reinterpret_cast<CUdeviceptr>(workspace), 0xff, kWorkspaceBytes) != CUDA_SUCCESS) {
    return refused("no workspace");
  }
  const Object& graph = its_plan.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).at(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
  Interpreter interpreter(its_pack);
  for (const Object* operation : graph.all<Object*>(CUDNN_ATTR_OPERATIONGRAPH_OPS)) interpreter.run(*operation);
  return CUDNN_STATUS_SUCCESS;
}

int cudnn_of_tests_handles() { return handles; }
int cudnn_of_tests_descriptors() { return descriptors; }

}  // extern "C"
