// One layer of a recurrent network by cuDNN's RNN functions, for inference in fp32. Its gates, the rows of its matrices
// and its two biases are as the operators have them, but it wants all of them in one piece of memory, its weight space.
#pragma once

#include <algorithm>

#include "kernels/cudnn.hpp"

namespace wkv::kernels::cudnn {

constexpr int kLstm = 2, kGru = 3;                                                   // cudnnRNNMode_t
constexpr int kStandardAlgorithm = 0, kInference = 0;                                // cudnnRNNAlgo_t, ForwardMode_t
constexpr int kDoubleBias = 2, kUnidirectional = 0, kLinearInput = 0, kFmaMath = 3;  // of as many enumerations
constexpr int kBatchMajor = 2;                                                       // cudnnRNNDataLayout_t: B, T, C
constexpr uint32_t kPaddedIo = 1;                                                    // which that layout asks for

// A part of the weight space that is copied at once: from one of w_ih, w_hh, b_ih, b_hh.
struct WeightPiece {
  size_t source;
  size_t from, to, bytes;
  bool operator==(const WeightPiece&) const = default;
};

// In the order of the weight space, pieces that lie behind each other on both sides joined.
inline std::vector<WeightPiece> joined(std::vector<WeightPiece> pieces) {
  std::ranges::sort(pieces, {}, &WeightPiece::to);
  std::vector<WeightPiece> result;
  for (const WeightPiece& piece : pieces) {
    WeightPiece* last = result.empty() ? nullptr : &result.back();
    if (last != nullptr && last->source == piece.source && last->from + last->bytes == piece.from &&
        last->to + last->bytes == piece.to) {
      last->bytes += piece.bytes;
    } else {
      result.push_back(piece);
    }
  }
  return result;
}

template <class Op>
class RecurrentPlan {
 public:
  RecurrentPlan(const Session& session, const Problem& p, Device& device) : session_(session) {
    const int B = static_cast<int>(p.B), T = static_cast<int>(p.new_tokens()), C = static_cast<int>(p.channels());
    const Functions& library = session.library;
    library.set_rnn(rnn_, kStandardAlgorithm, Op::kGates == 4 ? kLstm : kGru, kDoubleBias, kUnidirectional,
                    kLinearInput, kF32, kF32, kFmaMath, C, C, C, 1, nullptr, kPaddedIo);
    const std::vector<int> lengths(static_cast<size_t>(B), T);
    library.set_sequence(sequence_, kF32, kBatchMajor, T, B, C, lengths.data(), nullptr);
    const std::array extents{1, B, C}, strides{B * C, C, 1};
    library.set_tensor(state_, kF32, 3, extents.data(), strides.data());
    size_t reserved_bytes = 0;  // none for inference
    library.weight_bytes(session.handle, rnn_, &weight_bytes_);
    library.workspace_bytes(session.handle, rnn_, kInference, sequence_, &workspace_bytes_, &reserved_bytes);
    place_weights(static_cast<size_t>(C), device);
  }

  void run(const typename Op::Tensors& tensors, Device& device) const {
    std::byte* weights = device.scratch(workspace_at() + workspace_bytes_);
    const std::array sources{tensors.w_ih, tensors.w_hh, tensors.b_ih, tensors.b_hh};
    for (const WeightPiece& piece : pieces_) {
      const auto* source = reinterpret_cast<const std::byte*>(sources[piece.source]);
      device.copy(weights + piece.to, source + piece.from, piece.bytes);
    }
    const float* c = nullptr;
    float* c_out = nullptr;
    if constexpr (requires { tensors.c; }) c = tensors.c, c_out = tensors.c_out;
    // Since 8.9.1 the lengths are the descriptors' own.
    session_.library.forward(session_.handle, rnn_, kInference, nullptr, sequence_, tensors.x, sequence_, tensors.y,
                             state_, tensors.h, tensors.h_out, state_, c, c_out, weight_bytes_, weights,
                             workspace_bytes_, weights + workspace_at(), 0, nullptr);
  }

 private:
  size_t workspace_at() const { return (weight_bytes_ + 255) / 256 * 256; }

  // The library numbers the products: those of x with each gate's matrix, then those of h.
  void place_weights(size_t C, Device& device) {
    const Functions& library = session_.library;
    const Owned<TensorDescriptor> matrix{library.create_tensor, library.destroy_tensor},
        bias{library.create_tensor, library.destroy_tensor};
    std::byte* space = device.scratch(weight_bytes_);
    constexpr auto kGates = static_cast<size_t>(Op::kGates);
    for (size_t product = 0; product < 2 * kGates; ++product) {
      void *matrix_at = nullptr, *bias_at = nullptr;
      library.weights_of_product(session_.handle, rnn_, 0, weight_bytes_, space, static_cast<int32_t>(product), matrix,
                                 &matrix_at, bias, &bias_at);
      const size_t gate = product % kGates, recurrent = product / kGates, row_bytes = C * sizeof(float);
      const auto offset = [&](void* at) { return static_cast<size_t>(static_cast<std::byte*>(at) - space); };
      pieces_.push_back({recurrent, gate * C * row_bytes, offset(matrix_at), C * row_bytes});
      pieces_.push_back({2 + recurrent, gate * row_bytes, offset(bias_at), row_bytes});
    }
    pieces_ = joined(std::move(pieces_));
  }

  const Session& session_;
  Owned<RnnDescriptor> rnn_{session_.library.create_rnn, session_.library.destroy_rnn};
  Owned<SequenceDescriptor> sequence_{session_.library.create_sequence, session_.library.destroy_sequence};
  Owned<TensorDescriptor> state_{session_.library.create_tensor, session_.library.destroy_tensor};
  size_t weight_bytes_ = 0, workspace_bytes_ = 0;
  std::vector<WeightPiece> pieces_;
};

template <class Op>
void launch_recurrent(const Problem& p, const typename Op::Tensors& tensors, Device& device) {
  device.state<Plans<RecurrentPlan<Op>>>().of(p, device).run(tensors, device);
}

}  // namespace wkv::kernels::cudnn
