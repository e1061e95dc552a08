// What the variants by NVIDIA's cuDNN 9 share: the library, found at run time, and what is kept of it for a device. It
// works on the default stream, which is the device's. Names, types and numbers after cuDNN 9.19's headers.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/device/device.hpp"
#include "harness/device/library.hpp"
#include "harness/problem.hpp"

namespace wkv::kernels::cudnn {

using Handle = struct Context*;
using RnnDescriptor = struct RnnObject*;
using SequenceDescriptor = struct RnnDataObject*;
using TensorDescriptor = struct TensorObject*;
using BackendDescriptor = void*;

constexpr int kF32 = 0, kF16 = 2, kI32 = 4, kBf16 = 9, kBoolean = 11;  // cudnnDataType_t

constexpr int type_of(DType dtype) { return dtype == DType::f32 ? kF32 : dtype == DType::bf16 ? kBf16 : kF16; }

// The status' name and, where the library tells one, the reason.
inline std::string status_text(const Library& library, int status) {
  const auto name = reinterpret_cast<const char* (*)(int)>(library.symbol("cudnnGetErrorString"));
  const auto last_error = reinterpret_cast<void (*)(char*, size_t)>(library.symbol("cudnnGetLastErrorString"));
  std::array<char, 1024> reason{};
  last_error(reason.data(), reason.size());
  return fmt::format("{} ({}){}{}", name(status), status, reason[0] == '\0' ? "" : ": ", reason.data());
}

template <class... Parameters>
using Call = LibraryCall<status_text, Parameters...>;

struct Functions {
  explicit Functions(const std::vector<std::string>& files) : library(files, "cuDNN") {}

  Library library;
  Call<Handle*> create{library, "cudnnCreate"};
  Call<Handle> destroy{library, "cudnnDestroy"};

  Call<TensorDescriptor*> create_tensor{library, "cudnnCreateTensorDescriptor"};
  Call<TensorDescriptor> destroy_tensor{library, "cudnnDestroyTensorDescriptor"};
  // Type, dimensions and their extents and strides.
  Call<TensorDescriptor, int, int, const int*, const int*> set_tensor{library, "cudnnSetTensorNdDescriptor"};
  Call<RnnDescriptor*> create_rnn{library, "cudnnCreateRNNDescriptor"};
  Call<RnnDescriptor> destroy_rnn{library, "cudnnDestroyRNNDescriptor"};
  // Algorithm, cell, biases, direction, input; types of data, of arithmetic and of units; sizes of input, hidden state
  // and projection, layers; dropout, flags.
  Call<RnnDescriptor, int, int, int, int, int, int, int, int, int32_t, int32_t, int32_t, int32_t, void*, uint32_t>
      set_rnn{library, "cudnnSetRNNDescriptor_v8"};
  Call<SequenceDescriptor*> create_sequence{library, "cudnnCreateRNNDataDescriptor"};
  Call<SequenceDescriptor> destroy_sequence{library, "cudnnDestroyRNNDataDescriptor"};
  // Type, layout; length, batch, channels; each entry's length, what to fill up with.
  Call<SequenceDescriptor, int, int, int, int, int, const int*, void*> set_sequence{library,
                                                                                    "cudnnSetRNNDataDescriptor"};
  Call<Handle, RnnDescriptor, size_t*> weight_bytes{library, "cudnnGetRNNWeightSpaceSize"};
  // Layer, the weights' size and address; the product's number, its matrix and its bias.
  Call<Handle, RnnDescriptor, int32_t, size_t, const void*, int32_t, TensorDescriptor, void**, TensorDescriptor, void**>
      weights_of_product{library, "cudnnGetRNNWeightParams"};
  // Mode, sequence; of workspace and of what training reserves.
  Call<Handle, RnnDescriptor, int, SequenceDescriptor, size_t*, size_t*> workspace_bytes{library,
                                                                                         "cudnnGetRNNTempSpaceSizes"};
  // Mode, lengths; x, y, h and c with their descriptors, states before and after; weights, workspace, reserved.
  Call<Handle, RnnDescriptor, int, const int32_t*, SequenceDescriptor, const void*, SequenceDescriptor, void*,
       TensorDescriptor, const void*, void*, TensorDescriptor, const void*, void*, size_t, const void*, size_t, void*,
       size_t, void*>
      forward{library, "cudnnRNNForward"};

  Call<int, BackendDescriptor*> create_backend{library, "cudnnBackendCreateDescriptor"};
  Call<BackendDescriptor> destroy_backend{library, "cudnnBackendDestroyDescriptor"};
  // Attribute, its type, how many elements and which.
  Call<BackendDescriptor, int, int, int64_t, const void*> set_attribute{library, "cudnnBackendSetAttribute"};
  Call<BackendDescriptor, int, int, int64_t, int64_t*, void*> get_attribute{library, "cudnnBackendGetAttribute"};
  Call<BackendDescriptor> finalize{library, "cudnnBackendFinalize"};
  Call<Handle, BackendDescriptor, BackendDescriptor> execute{library, "cudnnBackendExecute"};
};

// Throws DeviceError.
inline const Functions& functions() { return loaded_once<Functions>("WKV_CUDNN", {"libcudnn.so.9"}); }

inline std::optional<std::string> unsupported_on(const Problem&, const DeviceProperties& device) {
  return library_unsupported_on(device, "cuDNN", functions);
}

template <class Pointer>
using Owned = LibraryObject<Pointer, Call<Pointer*>, Call<Pointer>>;

// Of a device: in the context that was current when it was made.
struct Session {
  const Functions& library = functions();
  Owned<Handle> handle{library.create, library.destroy};
};

// A session of a variant and how it runs each problem that it has met: what is made once and then launched often. One
// is made by Plan(session, problem, device).
template <class Plan>
class Plans {
 public:
  Plan& of(const Problem& problem, Device& device) {
    for (auto& [its_problem, plan] : plans_) {
      if (its_problem == problem) return plan;
    }
    plans_.emplace_back(std::piecewise_construct, std::forward_as_tuple(problem),
                        std::forward_as_tuple(session_, problem, device));
    return plans_.back().second;
  }

 private:
  Session session_;
  std::list<std::pair<Problem, Plan>> plans_;
};

}  // namespace wkv::kernels::cudnn
