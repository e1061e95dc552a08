#include "harness/model/engine.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace wkv::model {
namespace {

// Up to here a weight is used so seldom that reading it is what takes time.
constexpr int64_t kFewTokens = 8;

}  // namespace

std::string_view name_of(Part part) {
  constexpr std::string_view kNames[kParts] = {"projections", "mixer", "channel mixing", "head", "elementwise"};
  return kNames[static_cast<int>(part)];
}

Engine::Engine(const ModelConfig& config, DType dtype, const KernelChoice& choice, Executor& executor, Device* device)
    : config_(config),
      dtype_(dtype),
      executor_(executor),
      device_(device),
      mixer_(call("--mixer", choice.mixer, mixer_problem(64, 0), mixing_operator(config.architecture),
                  {"cpu_chunked", "cpu_serial", "cpu_tiled", "cpu_stepwise"})),
      mixer_of_one_(call("--mixer", choice.mixer, mixer_problem(1, 63), mixing_operator(config.architecture),
                         {"cpu_serial", "cpu_tiled", "cpu_stepwise"})),
      gemm_(call("--gemm", choice.gemm, {.T = 64, .H = 1, .N = config.channels, .dtype = dtype}, "gemm",
                 {"cpu_onednn", "cpu_tiled"})),
      gemm_of_few_(
          call("--gemm", choice.gemm, {.T = 1, .H = 1, .N = config.channels, .dtype = dtype}, "gemm", {"cpu_rows"})) {}

OperatorCall Engine::call(std::string_view option, const std::string& name, const Problem& problem, std::string_view op,
                          std::initializer_list<std::string_view> preferred) const {
  return {variant_for(option, name, problem, op, preferred), executor_, device_};
}

void Engine::project(const std::byte* w, int64_t inputs, int64_t outputs, int64_t tokens, const std::byte* x,
                     std::byte* y) {
  const Problem problem{.T = tokens, .H = 1, .N = inputs, .dtype = dtype_, .outputs = outputs};
  TensorAddresses tensors;
  tensors.add("x", const_cast<std::byte*>(x));
  tensors.add("w", const_cast<std::byte*>(w));
  tensors.add("y", y);
  (tokens <= kFewTokens ? gemm_of_few_ : gemm_).run(problem, tensors);
}

Problem Engine::mixer_problem(int64_t tokens, int64_t tokens_before) const {
  const bool decode = tokens == 1 && tokens_before > 0;
  return {.T = decode ? tokens_before + 1 : tokens,
          .H = config_.heads(),
          .N = config_.head_size,
          .mode = decode ? Mode::decode : Mode::prefill,
          .dtype = dtype_};
}

void Engine::run_mixer(int64_t layer, const Problem& problem, const TensorAddresses& tensors) {
  (problem.new_tokens() == 1 ? mixer_of_one_ : mixer_).run(problem, tensors);
  if (observer_) observer_(layer, problem, tensors);
}

void Engine::for_tokens(int64_t tokens, const std::function<void(int64_t token)>& body) {
  constexpr int64_t kBlock = 8;
  executor_.parallel_for((tokens + kBlock - 1) / kBlock, [&](int64_t block, int) {
    for (int64_t token = block * kBlock; token < std::min(tokens, (block + 1) * kBlock); ++token) body(token);
  });
}

std::byte* Engine::buffer(Slot slot, size_t bytes) {
  Buffer& buffer = buffers_[static_cast<size_t>(slot)];
  if (buffer.bytes < bytes) {
    buffer.memory.reset();
    buffer.bytes = 0;
    buffer.memory = allocate(bytes);
    buffer.bytes = bytes;
  }
  return buffer.memory.get();
}

size_t Engine::buffer_bytes() const {
  size_t bytes = 0;
  for (const Buffer& buffer : buffers_) bytes += buffer.bytes;
  return bytes;
}

void Engine::lap(Part part) {
  const auto now = Clock::now();
  seconds_[static_cast<size_t>(part)] += std::chrono::duration<double>(now - last_lap_).count();
  last_lap_ = now;
}

std::string Engine::mixer_name() const {
  const std::string &many = mixer_.variant().name, &one = mixer_of_one_.variant().name;
  const auto op = mixing_operator(config_.architecture);
  return many == one ? fmt::format("{}:{}", op, many) : fmt::format("{}:{}, {} for one token", op, many, one);
}

std::string Engine::gemm_name() const {
  const std::string &many = gemm_.variant().name, &few = gemm_of_few_.variant().name;
  return many == few ? many : fmt::format("{}, {} for few tokens", many, few);
}

}  // namespace wkv::model
