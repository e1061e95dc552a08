// gru cpu_onednn: oneDNN's GRU for inference with the reset gate behind the product ("linear before reset"), PyTorch's.
// Parallel as the library sees fit, on OpenMP threads.
// Moves what the library moves. The weights' copies into the library's layout and order of gates (update, reset, new),
//   its x and y with time before batch and the biases' sums are part of the run: at T = 1 they are most of it.
// Limit: as cpu_stepwise: the bandwidth of what holds w_hh at B = 1, else the FMA rate.
// Supports f32 only.
#include <algorithm>
#include <vector>

#include "harness/variant.hpp"
#include "kernels/gru/gru.hpp"
#include "kernels/onednn.hpp"
#include "kernels/onednn_recurrent.hpp"

namespace wkv::kernels {
namespace {

// Update, reset, new, from reset, update, new.
std::vector<float> in_order(const float* gates, int64_t size, Executor& executor) {
  std::vector<float> ordered(static_cast<size_t>(3 * size));
  executor.parallel_for(3, [&](int64_t gate, int) {
    const int64_t from = gate == 2 ? 2 : 1 - gate;
    std::copy_n(gates + from * size, size, ordered.data() + gate * size);
  });
  return ordered;
}

void run(const Problem& p, const GruTensors& tensors, Executor& executor) {
  const int64_t C = p.channels();
  const std::vector<float> w_ih = in_order(tensors.w_ih, C * C, executor),
                           w_hh = in_order(tensors.w_hh, C * C, executor);
  // Update, reset, new outside and inside of the reset gate.
  std::vector<float> bias = in_order(tensors.b_ih, C, executor);
  const std::vector<float> b_hh = in_order(tensors.b_hh, C, executor);
  for (int64_t i = 0; i < 2 * C; ++i) bias[static_cast<size_t>(i)] += b_hh[static_cast<size_t>(i)];
  bias.insert(bias.end(), b_hh.end() - C, b_hh.end());
  GruTensors ordered = tensors;
  ordered.w_ih = w_ih.data(), ordered.w_hh = w_hh.data();

  Onednn onednn(executor);
  const OnednnRecurrent layers(p, Gru::kGates, Gru::kGates + 1);
  const dnnl::lbr_gru_forward::primitive_desc description(
      dnnl::lbr_gru_forward::desc(dnnl::prop_kind::forward_inference, dnnl::rnn_direction::unidirectional_left2right,
                                  layers.any_sequence, layers.state, layers.any_weights, layers.any_weights,
                                  layers.bias, layers.any_sequence, layers.state),
      Onednn::engine());
  auto arguments = layers.arguments(onednn, description, ordered);
  arguments.insert({DNNL_ARG_BIAS, Onednn::memory(layers.bias, bias.data())});
  dnnl::lbr_gru_forward(description).execute(onednn.stream(), arguments);
  layers.bring_out(onednn, arguments, tensors.y);
}

const Registered<Gru> variant{{.name = "cpu_onednn", .dtypes = {DType::f32}, .run = run}};

}  // namespace
}  // namespace wkv::kernels
