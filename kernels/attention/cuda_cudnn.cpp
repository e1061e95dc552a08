// attention cuda_cudnn: NVIDIA's cuDNN, what a user would otherwise call, loaded at run time; its fused attention,
//   compiled by the library for the problem when the first run meets it (cudnn_graph.hpp).
// Parallel as the library sees fit, on the device's one stream.
// Moves what the library moves: at the least q, k, v in and y out once. A workspace that it asks for counts as extra
//   memory; how much only the library can tell.
// Limit: matrix rate. Scores are fp32, the weights of v are rounded to the dtype.
// Supports bf16 and f16, head sizes up to 256 that are multiples of 8, prefill only, on a GPU with cuDNN 9 beside it;
// the emulated device runs PTX, not libraries.
#include <cmath>
#include <limits>
#include <memory>

#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/attention/cudnn_graph.hpp"

namespace wkv::kernels {
namespace {

using cudnn::Backend;
using Id = cudnn::AttentionGraph::Id;

class Plan {
 public:
  Plan(const cudnn::Session& session, const Problem& p, Device&)
      : session_(session), graph_(session.library, session.handle, p), scale_(1 / std::sqrt(static_cast<float>(p.N))) {
    std::string reason;
    for (const int mode : {cudnn::kBestFirst, cudnn::kFallback}) {
      configs_ = cudnn::engine_configs(session.library, graph_, mode);
      for (const Backend& config : configs_) {
        const int status = compile(config);
        if (status == 0) return;
        reason = ": " + cudnn::status_text(session.library.library, status);
      }
    }
    throw DeviceError("cuDNN has no engine for attention " + to_string(p) + reason);
  }

  void run(const AttentionTensors& tensors, Device& device) const {
    const auto host = [](const float& number) { return const_cast<float*>(&number); };
    const auto there = [](const std::byte* tensor) { return const_cast<std::byte*>(tensor); };
    const std::vector<int64_t> ids{Id::kQ, Id::kK, Id::kV, Id::kY, Id::kScale, Id::kMasked};
    const std::vector<void*> data{there(tensors.q), there(tensors.k), there(tensors.v),
                                  tensors.y,        host(scale_),     host(masked_)};
    Backend pack(session_.library, cudnn::kVariantPack);
    pack.set(cudnn::kPackIds, cudnn::kInt64Type, ids).set(cudnn::kPackPointers, cudnn::kPointerType, data);
    pack.set(cudnn::kPackWorkspace, cudnn::kPointerType,
             static_cast<void*>(device.scratch(static_cast<size_t>(workspace_bytes_))));
    session_.library.execute(session_.handle, *plan_, pack.finalize());
  }

 private:
  // Returns the library's status: an engine that its heuristics propose may fail yet, by the driver's version for one.
  int compile(const Backend& config) {
    plan_ = std::make_unique<Backend>(session_.library, cudnn::kExecutionPlan);
    plan_->set(cudnn::kPlanHandle, cudnn::kHandleType, cudnn::Handle{session_.handle});
    plan_->set(cudnn::kPlanConfig, cudnn::kDescriptorType, cudnn::BackendDescriptor{config});
    if (const int status = session_.library.finalize.result(*plan_); status != 0) return status;
    int64_t count = 0;
    session_.library.get_attribute(*plan_, cudnn::kPlanWorkspaceBytes, cudnn::kInt64Type, 1, &count, &workspace_bytes_);
    return 0;
  }

  const cudnn::Session& session_;
  cudnn::AttentionGraph graph_;
  std::deque<Backend> configs_;
  std::unique_ptr<Backend> plan_;
  int64_t workspace_bytes_ = 0;
  float scale_, masked_ = std::numeric_limits<float>::lowest();  // not -inf, of which some versions make NaN
};

std::optional<std::string> unsupported(const Problem& p) {
  if (p.mode == Mode::decode) return "decode";
  if (p.N % 8 == 0 && p.N <= 256) return std::nullopt;
  return "a head size other than multiples of 8 up to 256";
}

void launch(const Problem& p, const AttentionTensors& tensors, Device& device) {
  device.state<cudnn::Plans<Plan>>().of(p, device).run(tensors, device);
}

const Registered<Attention> variant{{.name = "cuda_cudnn",
                                     .device = DeviceKind::cuda,
                                     .dtypes = {DType::bf16, DType::f16},
                                     .products = std::nullopt,
                                     .unsupported = unsupported,
                                     .unsupported_on = cudnn::unsupported_on,
                                     .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
