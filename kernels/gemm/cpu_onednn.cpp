// gemm cpu_onednn: oneDNN's matmul primitive on the tensors as they lie, what a user would otherwise call.
// Parallel as the library sees fit, on OpenMP threads.
// Moves what the library moves; its copies into packed blocks are part of the run.
// Limit: FMA rate; at one token the bandwidth of what holds the weights.
// Supports bf16 only where oneDNN does: on CPUs with AVX-512.
#include "harness/variant.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/onednn.hpp"

namespace wkv::kernels {
namespace {

dnnl::matmul::primitive_desc description(const Problem& p) {
  const int64_t C = p.channels(), M = Gemm::outputs(p), tokens = p.B * p.new_tokens();
  const auto type = onednn_type(p.dtype);
  const Onednn::Desc x({tokens, C}, type, dnnl::memory::dims{C, 1}), w({C, M}, type, dnnl::memory::dims{1, C}),
      y({tokens, M}, type, dnnl::memory::dims{M, 1});
  return {dnnl::matmul::desc(x, w, y), Onednn::engine()};
}

std::optional<std::string> unsupported(const Problem& p) {
  try {
    description(p);
    return std::nullopt;
  } catch (const dnnl::error& error) {
    return "oneDNN has no matmul of this dtype for this CPU";
  }
}

void run(const Problem& problem, const GemmTensors& tensors, Executor& executor) {
  Onednn onednn(executor);
  const auto description = kernels::description(problem);
  dnnl::matmul(description)
      .execute(onednn.stream(), {{DNNL_ARG_SRC, Onednn::memory(description.src_desc(), tensors.x)},
                                 {DNNL_ARG_WEIGHTS, Onednn::memory(description.weights_desc(), tensors.w)},
                                 {DNNL_ARG_DST, Onednn::memory(description.dst_desc(), tensors.y)}});
  onednn.stream().wait();
}

const Registered<Gemm> variant{{.name = "cpu_onednn", .unsupported = unsupported, .run = run}};

}  // namespace
}  // namespace wkv::kernels
