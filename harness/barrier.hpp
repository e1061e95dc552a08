// A barrier for the tasks of one Executor::parallel_for, no more than its threads, so that they run side by side: each
// waits until all have come. For steps of microseconds, which a parallel_for of their own would cost as much.
#pragma once

#include <atomic>
#include <thread>

namespace wkv {

class Barrier {
 public:
  explicit Barrier(int tasks) : tasks_(tasks) {}

  // What a task did before is seen by the others after. A task that throws instead of coming leaves the others waiting.
  void wait() {
    const int round = round_.load(std::memory_order_relaxed);
    if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == tasks_) {
      waiting_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int spin = 0; round_.load(std::memory_order_acquire) == round; ++spin) {
      if (spin > kSpins) std::this_thread::yield();  // there may be more threads than cores
    }
  }

 private:
  static constexpr int kSpins = 20000;

  const int tasks_;
  alignas(64) std::atomic<int> waiting_{0};
  alignas(64) std::atomic<int> round_{0};
};

}  // namespace wkv
