// LSTM and GRU: that the verifier tells the equations from what is nearly them, and that the tolerance is what rounding
// explains. The implementations here are plain loops, independent of the variants.
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "harness/verify.hpp"
#include "kernels/gru/gru.hpp"
#include "kernels/lstm/lstm.hpp"
#include "tests/each_target.hpp"

namespace wkv {
namespace {

using kernels::GruTensors;
using kernels::LstmTensors;

enum class Mistake {
  none,
  recurrent_bias_left_out,
  gates_exchanged,        // LSTM: input and forget; GRU: reset and update
  bf16_carried,           // h rounded to bf16 from step to step
  reset_inside,           // GRU: reset before the product, as in the paper
  cell_not_squashed,      // LSTM: h = o * c
  state_out_of_old_step,  // the last but one h
};

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// Row `row` of w x + bias.
float product(const float* w, const float* bias, int64_t row, const std::vector<float>& x) {
  float sum = 0;
  for (size_t k = 0; k < x.size(); ++k) sum += w[static_cast<size_t>(row) * x.size() + k] * x[k];
  return sum + (bias ? bias[row] : 0);
}

float carried(float h, Mistake mistake) { return mistake == Mistake::bf16_carried ? float(BFloat16(h)) : h; }

// h after each step of one batch entry, through `step(x, h)`, which returns the new h.
template <class Tensors, class Step>
void run_steps(const Problem& p, const Tensors& tensors, int64_t b, Mistake mistake, const Step& step) {
  const int64_t C = p.channels(), T = p.new_tokens();
  const auto* x = reinterpret_cast<const float*>(tensors.x);
  auto* y = reinterpret_cast<float*>(tensors.y);
  std::vector<float> h(tensors.h + b * C, tensors.h + (b + 1) * C), before = h;
  for (int64_t t = 0; t < T; ++t) {
    const float* row = x + (b * T + t) * C;
    before = h;
    h = step(std::vector<float>(row, row + C), before);
    std::copy(h.begin(), h.end(), y + (b * T + t) * C);
    for (float& value : h) value = carried(value, mistake);
  }
  const auto& last = mistake == Mistake::state_out_of_old_step ? before : h;
  std::copy(last.begin(), last.end(), tensors.h_out + b * C);
}

void plain_lstm(const Problem& p, const LstmTensors& tensors, Mistake mistake) {
  const int64_t C = p.channels();
  const float* b_hh = mistake == Mistake::recurrent_bias_left_out ? nullptr : tensors.b_hh;
  const int64_t input = mistake == Mistake::gates_exchanged ? 1 : 0;
  for (int64_t b = 0; b < p.B; ++b) {
    float* c = tensors.c_out + b * C;
    std::copy_n(tensors.c + b * C, C, c);
    run_steps(p, tensors, b, mistake, [&](const auto& x, const auto& h) {
      std::vector<float> next(h.size());
      for (int64_t n = 0; n < C; ++n) {
        const auto gate = [&](int64_t g) {
          return product(tensors.w_ih, tensors.b_ih, g * C + n, x) + product(tensors.w_hh, b_hh, g * C + n, h);
        };
        c[n] = sigmoid(gate(1 - input)) * c[n] + sigmoid(gate(input)) * std::tanh(gate(2));
        next[static_cast<size_t>(n)] =
            sigmoid(gate(3)) * (mistake == Mistake::cell_not_squashed ? c[n] : std::tanh(c[n]));
      }
      return next;
    });
  }
}

void plain_gru(const Problem& p, const GruTensors& tensors, Mistake mistake) {
  const int64_t C = p.channels();
  const float* b_hh = mistake == Mistake::recurrent_bias_left_out ? nullptr : tensors.b_hh;
  const int64_t reset = mistake == Mistake::gates_exchanged ? 1 : 0;
  for (int64_t b = 0; b < p.B; ++b) {
    run_steps(p, tensors, b, mistake, [&](const auto& x, const auto& h) {
      std::vector<float> next(h.size()), reset_h(h.size());
      const auto gate = [&](int64_t g, int64_t n) {
        return sigmoid(product(tensors.w_ih, tensors.b_ih, g * C + n, x) + product(tensors.w_hh, b_hh, g * C + n, h));
      };
      for (int64_t n = 0; n < C; ++n) reset_h[static_cast<size_t>(n)] = gate(reset, n) * h[static_cast<size_t>(n)];
      for (int64_t n = 0; n < C; ++n) {
        const float update = gate(1 - reset, n), input = product(tensors.w_ih, tensors.b_ih, 2 * C + n, x);
        const float recurrent = mistake == Mistake::reset_inside
                                    ? product(tensors.w_hh, b_hh, 2 * C + n, reset_h)
                                    : gate(reset, n) * product(tensors.w_hh, b_hh, 2 * C + n, h);
        next[static_cast<size_t>(n)] = (1 - update) * std::tanh(input + recurrent) + update * h[static_cast<size_t>(n)];
      }
      return next;
    });
  }
}

Verification verify_plain(std::string_view op, const Problem& problem, InputKind kind, Mistake mistake) {
  const Variant variant{.op = std::string(op),
                        .name = "plain",
                        .dtypes = {DType::f32},
                        .unsupported = nullptr,
                        .extra_bytes = nullptr,
                        .run = [&](const TensorAddresses& tensors, const Problem& p, Executor&) {
                          if (op == "lstm") {
                            plain_lstm(p, kernels::Lstm::bind(tensors), mistake);
                          } else {
                            plain_gru(p, kernels::Gru::bind(tensors), mistake);
                          }
                        }};
  Executor executor(2);
  Workload workload(operator_named(op), problem, generated_inputs(kind, 3), 2, executor);
  return verify(*make_runner(variant, workload, executor), workload, executor);
}

TEST_CASE("lstm and gru: plain loops in fp32 are right, also where gates saturate") {
  const char* op = GENERATE("lstm", "gru");
  const InputKind kind = GENERATE(InputKind::realistic, InputKind::extreme);
  for (const Problem& problem :
       {Problem{.B = 2, .T = 300, .H = 1, .N = 16}, Problem{.B = 1, .T = 40, .H = 2, .N = 64}}) {
    CAPTURE(op, name_of(kind), to_string(problem));
    const Verification verification = verify_plain(op, problem, kind, Mistake::none);
    CHECK(verification.failure == "");
    CHECK(verification.tolerance_ratio > 0.002);  // the bound is of roundings that do happen
  }
}

TEST_CASE("lstm and gru: what is nearly the equations is wrong") {
  const Problem problem{.B = 1, .T = 20, .H = 1, .N = 64};
  const auto fails = [&](const char* op, Mistake mistake) {
    CAPTURE(op, static_cast<int>(mistake));
    CHECK_FALSE(verify_plain(op, problem, InputKind::realistic, mistake).passed());
  };
  for (const char* op : {"lstm", "gru"}) {
    for (const Mistake mistake : {Mistake::recurrent_bias_left_out, Mistake::gates_exchanged, Mistake::bf16_carried,
                                  Mistake::state_out_of_old_step}) {
      fails(op, mistake);
    }
  }
  fails("lstm", Mistake::cell_not_squashed);
  fails("gru", Mistake::reset_inside);
}

TEST_CASE("lstm and gru: the tolerance does not grow with the length, since their memory fades") {
  const char* op = GENERATE("lstm", "gru");
  Executor executor(2);
  const auto drift = [&](int64_t T) {
    const Problem problem{.B = 1, .T = T, .H = 1, .N = 32};
    Workload workload(operator_named(op), problem, generated_inputs(InputKind::realistic, 9), 1, executor);
    return operator_named(op).reference(workload.set(0), problem, {}).front().drift;
  };
  const double some = drift(100);
  CHECK(some > 1);
  CHECK(drift(5000) < 3 * some);
}

// The reference of rows 300 to 315 and of the last 16, alone and out of all.
TEST_CASE("lstm and gru: the reference of a span of rows is that of all rows, as nearly as it says") {
  const char* op = GENERATE("lstm", "gru");
  const InputKind kind = GENERATE(InputKind::realistic, InputKind::extreme);
  const int64_t begin = GENERATE(0, 300, 484);
  Executor executor(2);
  const Problem problem{.B = 2, .T = 500, .H = 1, .N = 32};
  Workload workload(operator_named(op), problem, generated_inputs(kind, 9), 1, executor);
  Slice span{.batch = 1, .head = 0, .times = std::vector<int64_t>(16)};
  std::iota(span.times.begin(), span.times.end(), begin);
  const auto reference = [&](const Slice& slice) {
    return operator_named(op).reference(workload.set(0), problem, slice);
  };
  const auto whole = reference({.batch = 1, .head = 0, .times = {}}), part = reference(span);
  CAPTURE(op, name_of(kind), begin);
  REQUIRE(part.size() == (begin == 484 ? whole.size() : 1));
  for (size_t i = 0; i < part.size(); ++i) {
    const size_t offset = part[i].tensor == "y" ? static_cast<size_t>(begin * 32) : 0;
    CHECK(part[i].tensor == whole[i].tensor);
    CHECK(part[i].drift < 1.2 * whole[i].drift + 1);
    for (size_t j = 0; j < part[i].value.size(); ++j) {
      REQUIRE(std::abs(part[i].value[j] - whole[i].value[offset + j]) <= 1e-8);  // a fraction of fp32's roundoff
    }
  }
}

TEST_CASE("lstm: a memory that does not fade is followed back to the beginning") {
  Executor executor(2);
  const Problem problem{.B = 1, .T = 500, .H = 1, .N = 16};
  Workload workload(operator_named("lstm"), problem, generated_inputs(InputKind::realistic, 9), 1, executor);
  float* bias = const_cast<float*>(workload.set(0).as<float>("b_ih"));
  std::fill(bias + 16, bias + 32, 40.0f);  // forget gates of 1
  Slice last{.batch = 0, .head = 0, .times = {499}};
  const auto whole = operator_named("lstm").reference(workload.set(0), problem, {}),
             part = operator_named("lstm").reference(workload.set(0), problem, last);
  CHECK(part.back().tensor == "c_out");
  CHECK(part.back().value == whole.back().value);
}

TEST_CASE("lstm: weights are drawn as PyTorch initialises them") {
  Executor executor(2);
  const Problem problem{.B = 1, .T = 1, .H = 1, .N = 64};
  const TensorSet set(operator_named("lstm").tensors(problem));
  fill_inputs(set, InputKind::realistic, 1, executor);
  const float* w = set.as<float>("w_hh");
  const int64_t count = set.spec("w_hh").elements();
  double sum = 0, squares = 0, largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += w[i], squares += double{w[i]} * w[i], largest = std::max(largest, std::abs(double{w[i]}));
  }
  const auto n = static_cast<double>(count);
  CHECK(largest <= 0.125);
  CHECK(largest > 0.1249);
  CHECK(squares / n == Approx(0.125 * 0.125 / 3).epsilon(0.03));
  CHECK(std::abs(sum / n) < 5 * 0.125 / std::sqrt(3 * n));
}

TEST_CASE("lstm and gru: CPU variants are right for batches that are worth packing weights for") {
  const auto* op = GENERATE(&operator_named("lstm"), &operator_named("gru"));
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  const auto threads = GENERATE(1, 3);
  Executor executor(threads);
  for (const int64_t channels : {1, 17, 32, 40, 96, 130}) {
    for (const int64_t B : {3, 4, 7, 12, 13, 30}) {
      const Problem problem{.B = B, .T = 256 / B + 1, .H = 1, .N = channels, .dtype = dtype};
      Workload workload(*op, problem, generated_inputs(InputKind::realistic, 5), 2, executor);
      each_target([&] {
        for (const Variant* variant : variants_of(op->name)) {
          if (variant->device != DeviceKind::cpu || unsupported(*variant, problem)) continue;
          INFO(op->name << " " << variant->name << " " << to_string(problem) << " threads:" << threads);
          CHECK(verify(*make_runner(*variant, workload, executor), workload, executor).failure == "");
        }
      });
    }
  }
}

}  // namespace
}  // namespace wkv
