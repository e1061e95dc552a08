// One layer of a recurrent network in oneDNN's terms, with tensors in fp32: its dimensions are layers, directions,
// input channels, gates and output channels for weights; time, batch and channels for sequences.
#pragma once

#include <unordered_map>

#include "kernels/onednn.hpp"

namespace wkv::kernels {

class OnednnRecurrent {
  using Desc = Onednn::Desc;
  using Dims = dnnl::memory::dims;
  static constexpr auto kF32 = dnnl::memory::data_type::f32;
  static constexpr auto kAny = dnnl::memory::format_tag::any;

 public:
  using Arguments = std::unordered_map<int, dnnl::memory>;

  OnednnRecurrent(const Problem& p, int64_t gates, int64_t biases)
      : OnednnRecurrent(p.B, p.new_tokens(), p.channels(), gates, biases) {}

  // x, h and the weights in the layouts that the primitive wants, and where its y and h go.
  template <class Description, class Tensors>
  Arguments arguments(Onednn& onednn, const Description& description, const Tensors& tensors) const {
    return {{DNNL_ARG_SRC_LAYER, onednn.in_layout(description.src_layer_desc(), Onednn::memory(sequence_, tensors.x))},
            {DNNL_ARG_SRC_ITER, Onednn::memory(state, tensors.h)},
            {DNNL_ARG_WEIGHTS_LAYER,
             onednn.in_layout(description.weights_layer_desc(), Onednn::memory(weights_, tensors.w_ih))},
            {DNNL_ARG_WEIGHTS_ITER,
             onednn.in_layout(description.weights_iter_desc(), Onednn::memory(weights_, tensors.w_hh))},
            {DNNL_ARG_DST_LAYER, description.dst_layer_desc() == sequence_
                                     ? Onednn::memory(sequence_, tensors.y)
                                     : dnnl::memory(description.dst_layer_desc(), Onednn::engine())},
            {DNNL_ARG_DST_ITER, Onednn::memory(state, tensors.h_out)}};
  }

  // Waits, and brings y into its own layout if the primitive has left it in another.
  void bring_out(Onednn& onednn, const Arguments& arguments, std::byte* y) const {
    dnnl::memory result = arguments.at(DNNL_ARG_DST_LAYER), to = Onednn::memory(sequence_, y);
    if (result.get_data_handle() != y) dnnl::reorder(result, to).execute(onednn.stream(), result, to);
    onednn.stream().wait();
  }

  Desc any_sequence, any_weights, state, bias;

 private:
  OnednnRecurrent(int64_t B, int64_t T, int64_t C, int64_t gates, int64_t biases)
      : any_sequence({T, B, C}, kF32, kAny),
        any_weights({1, 1, C, gates, C}, kF32, kAny),
        state({1, 1, B, C}, kF32, dnnl::memory::format_tag::ldnc),
        bias({1, 1, biases, C}, kF32, dnnl::memory::format_tag::ldgo),
        sequence_({T, B, C}, kF32, Dims{C, T * C, 1}),
        weights_({1, 1, C, gates, C}, kF32, Dims{gates * C * C, gates * C * C, 1, C * C, C}) {}

  Desc sequence_, weights_;  // as the operators have them
};

}  // namespace wkv::kernels
