#include "harness/ceilings.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "harness/ceiling_loops.hpp"
#include "harness/memory.hpp"

namespace wkv {
namespace {

constexpr int kTrials = 7;  // the best counts: a ceiling is what the machine can do
constexpr double kTrialSeconds = 0.002;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// By the wall clock, of work that returns how much it did.
double best_rate_of(const std::function<double(int64_t)>& work) {
  return best_rate(kTrialSeconds, [&](int64_t rounds) {
    Trial trial{};
    trial.seconds = seconds_of([&] { trial.done = work(rounds); });
    return trial;
  });
}

// Every thread runs the loop by itself.
double arithmetic_rate(Executor& executor, double (*loop)(int64_t)) {
  return best_rate_of([&](int64_t rounds) {
    std::vector<double> done(static_cast<size_t>(executor.threads()));
    executor.parallel_for(executor.threads(),
                          [&](int64_t task, int) { done[static_cast<size_t>(task)] = loop(1000 * rounds); });
    double total = 0;
    for (const double flops : done) total += flops;
    return total;
  });
}

// Every thread copies the first half of its share of the buffer to the second.
double copy_rate(Executor& executor, float* buffer, size_t working_set_bytes, bool streaming) {
  const size_t floats = working_set_bytes / sizeof(float) / 2 / static_cast<size_t>(executor.threads());
  return best_rate_of([&](int64_t rounds) {
    executor.parallel_for(executor.threads(), [&](int64_t task, int) {
      float* from = buffer + static_cast<size_t>(task) * 2 * floats;
      copy_rounds(from, from + floats, floats, rounds, streaming);
    });
    return 2.0 * static_cast<double>(floats * sizeof(float)) * static_cast<double>(executor.threads()) *
           static_cast<double>(rounds);
  });
}

// Four times the last-level cache, so that nearly all of it comes from memory.
size_t largest_working_set() {
  size_t cache = size_t{32} << 20;
  for (const auto& level : benchmark::CPUInfo::Get().caches) cache = std::max(cache, static_cast<size_t>(level.size));
  return std::min(4 * cache, size_t{1} << 30);
}

std::vector<Bandwidth> measure_copy(Executor& executor) {
  const size_t smallest = 2 * kCopyGranule * sizeof(float) * static_cast<size_t>(executor.threads());
  const size_t doublings = 3;  // the smallest set still fills a good part of every L1
  size_t largest = smallest << doublings;
  while (2 * largest <= largest_working_set()) largest *= 2;
  const Memory memory = allocate(largest);
  auto* buffer = reinterpret_cast<float*>(memory.get());
  executor.parallel_for(static_cast<int64_t>(largest / smallest), [&](int64_t block, int) {
    std::fill_n(buffer + static_cast<size_t>(block) * smallest / sizeof(float), smallest / sizeof(float), 1.0f);
  });
  std::vector<Bandwidth> copy;
  for (size_t bytes = smallest << doublings; bytes <= largest; bytes *= 2) {
    copy.push_back(
        {bytes, std::max(copy_rate(executor, buffer, bytes, false), copy_rate(executor, buffer, bytes, true))});
  }
  return copy;
}

}  // namespace

// Trials that would be over too soon at the best rate seen so far do not count and make the next ones longer: by the
// time of one trial alone, a moment's disturbance would pass for a long trial, and what is then measured is the start
// of the threads.
double best_rate(double trial_seconds, const std::function<Trial(int64_t rounds)>& trial) {
  double best = 0;
  int64_t rounds = 1;
  for (int counted = 0; counted < kTrials;) {
    const auto [done, seconds] = trial(rounds);
    best = std::max(best, done / seconds);
    if (done / best >= trial_seconds) {
      ++counted;
    } else {
      rounds *= done / best * 10 < trial_seconds ? 8 : 2;
    }
  }
  return best;
}

double Ceilings::bandwidth(size_t working_set_bytes) const {
  const auto holds = [&](const Bandwidth& level) { return level.working_set_bytes >= working_set_bytes; };
  const auto level = std::find_if(copy.begin(), copy.end(), holds);
  return level == copy.end() ? copy.back().bytes_per_second : level->bytes_per_second;
}

double Ceilings::flops_per_second(DType products) const {
  return products == DType::bf16 && bf16_dot_flops_per_second > 0 ? bf16_dot_flops_per_second : fma_flops_per_second;
}

Ceilings measure_ceilings(Executor& executor) {
  Ceilings ceilings{.copy = measure_copy(executor), .fma_flops_per_second = arithmetic_rate(executor, fma_rounds)};
  if (bf16_dot_rounds(1) > 0) ceilings.bf16_dot_flops_per_second = arithmetic_rate(executor, bf16_dot_rounds);
  return ceilings;
}

double measure_read_rate(Executor& executor) {
  constexpr size_t kBlock = size_t{1} << 18;  // bytes of a task, so that a slow thread does less
  const size_t bytes = largest_working_set() / kBlock * kBlock, blocks = bytes / kBlock;
  const Memory memory = allocate(bytes);
  auto* buffer = reinterpret_cast<float*>(memory.get());
  constexpr size_t kFloats = kBlock / sizeof(float);
  const auto for_blocks = [&](const std::function<void(float*)>& work) {
    executor.parallel_for(static_cast<int64_t>(blocks),
                          [&](int64_t block, int) { work(buffer + static_cast<size_t>(block) * kFloats); });
  };
  for_blocks([](float* at) { std::fill_n(at, kFloats, 1.0f); });
  return best_rate_of([&](int64_t rounds) {
    for (int64_t round = 0; round < rounds; ++round) {
      for_blocks([](float* at) {
        volatile float used = read_all(at, kFloats);
        (void)used;
      });
    }
    return static_cast<double>(bytes) * static_cast<double>(rounds);
  });
}

double floor_seconds(const Ceilings& ceilings, const Cost& cost, DType products, size_t working_set_bytes) {
  return std::max(cost.bytes / ceilings.bandwidth(working_set_bytes), cost.flops / ceilings.flops_per_second(products));
}

}  // namespace wkv
