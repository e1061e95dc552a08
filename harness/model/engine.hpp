// What the parts of a running model share: threads, operators, buffers and the clock.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/model/config.hpp"
#include "harness/model/operator_call.hpp"

namespace wkv::model {

// Names of variants; "" leaves it to the model.
struct KernelChoice {
  std::string mixer, gemm;
};

// Where the time of a forward pass goes. channel_mixing is all of it, its products too; projections are those of time
// mixing; elementwise is the rest of time mixing, and the norms between the parts.
enum class Part { projections, mixer, channel_mixing, head, elementwise };
inline constexpr int kParts = 5;
std::string_view name_of(Part part);
using PartSeconds = std::array<double, kParts>;

// Buffers for the tokens that are run at once.
enum class Slot { residual, normal, mixed0, mixed1, mixed2, mixed3, out0, out1, out2, out3, hidden, logits };
inline constexpr int kSlots = 12;

class Engine {
 public:
  // Sees the tensors of a layer's mixer after it ran.
  using MixerObserver = std::function<void(int64_t layer, const Problem&, const TensorAddresses&)>;

  Engine(const ModelConfig& config, DType dtype, const KernelChoice& choice, Executor& executor, Device* device);

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  int64_t channels() const { return config_.channels; }
  size_t row_bytes() const { return static_cast<size_t>(config_.channels) * size_of(dtype_); }

  // y = w x for each token; x, w and y in the model's dtype.
  void project(const std::byte* w, int64_t inputs, int64_t outputs, int64_t tokens, const std::byte* x, std::byte* y);
  // The sequence mixer, for a layer. T counts the tokens before too where it is decode.
  Problem mixer_problem(int64_t tokens, int64_t tokens_before) const;
  void run_mixer(int64_t layer, const Problem& problem, const TensorAddresses& tensors);
  void observe_mixer(MixerObserver observer) { observer_ = std::move(observer); }

  // body(token) for each of them.
  void for_tokens(int64_t tokens, const std::function<void(int64_t token)>& body);

  // Of at least this size, valid until it is asked for again.
  std::byte* buffer(Slot slot, size_t bytes);
  std::byte* rows(Slot slot, int64_t tokens) { return buffer(slot, static_cast<size_t>(tokens) * row_bytes()); }
  float* floats(Slot slot, int64_t count) {
    return reinterpret_cast<float*>(buffer(slot, static_cast<size_t>(count) * sizeof(float)));
  }
  size_t buffer_bytes() const;

  // A forward pass begins; from here on, the time since the last lap goes to a part.
  void start_clock() { last_lap_ = Clock::now(); }
  void lap(Part part);
  const PartSeconds& seconds() const { return seconds_; }

  std::string mixer_name() const;  // "wkv5:cpu_chunked"; for prefill and decode where they differ
  std::string gemm_name() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Buffer {
    Memory memory;
    size_t bytes = 0;
  };
  OperatorCall call(std::string_view option, const std::string& name, const Problem& problem, std::string_view op,
                    std::initializer_list<std::string_view> preferred) const;

  ModelConfig config_;
  DType dtype_;
  Executor& executor_;
  Device* device_;
  OperatorCall mixer_, mixer_of_one_, gemm_, gemm_of_few_;
  MixerObserver observer_;
  std::array<Buffer, kSlots> buffers_;
  PartSeconds seconds_{};
  Clock::time_point last_lap_;
};

}  // namespace wkv::model
