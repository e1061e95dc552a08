// lstm cpu_onednn: oneDNN's LSTM for inference, what a user would otherwise call; its gates and weights are PyTorch's.
// Parallel as the library sees fit, on OpenMP threads.
// Moves what the library moves. The weights' copies into the library's layout, its x and y with time before batch and
//   the sum of the two biases are part of the run: at T = 1 they are most of it.
// Limit: as cpu_stepwise: the bandwidth of what holds w_hh at B = 1, else the FMA rate.
// Supports f32 only.
#include <vector>

#include "harness/variant.hpp"
#include "kernels/lstm/lstm.hpp"
#include "kernels/onednn.hpp"
#include "kernels/onednn_recurrent.hpp"

namespace wkv::kernels {
namespace {

void run(const Problem& p, const LstmTensors& tensors, Executor& executor) {
  Onednn onednn(executor);
  const OnednnRecurrent layers(p, Lstm::kGates, Lstm::kGates);
  const dnnl::lstm_forward::primitive_desc description(
      dnnl::lstm_forward::desc(dnnl::prop_kind::forward_inference, dnnl::rnn_direction::unidirectional_left2right,
                               layers.any_sequence, layers.state, layers.state, layers.any_weights, layers.any_weights,
                               layers.bias, layers.any_sequence, layers.state, layers.state),
      Onednn::engine());
  std::vector<float> bias(tensors.b_ih, tensors.b_ih + Lstm::kGates * p.channels());
  for (size_t i = 0; i < bias.size(); ++i) bias[i] += tensors.b_hh[i];

  auto arguments = layers.arguments(onednn, description, tensors);
  arguments.insert({DNNL_ARG_BIAS, Onednn::memory(layers.bias, bias.data())});
  arguments.insert({DNNL_ARG_SRC_ITER_C, Onednn::memory(layers.state, tensors.c)});
  arguments.insert({DNNL_ARG_DST_ITER_C, Onednn::memory(layers.state, tensors.c_out)});
  dnnl::lstm_forward(description).execute(onednn.stream(), arguments);
  layers.bring_out(onednn, arguments, tensors.y);
}

const Registered<Lstm> variant{{.name = "cpu_onednn", .dtypes = {DType::f32}, .run = run}};

}  // namespace
}  // namespace wkv::kernels
