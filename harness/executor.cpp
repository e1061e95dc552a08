#include "harness/executor.hpp"

#include <hwy/detect_compiler_arch.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>
#if HWY_ARCH_X86
#include <immintrin.h>
#endif

#include "harness/memory.hpp"

namespace wkv {
namespace {

// Flush-to-zero and denormals-are-zero while it lives; the caller's floating-point state comes back afterwards.
class FlushDenormals {
 public:
#if HWY_ARCH_X86
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#endif
};

constexpr int kSpins = 2000;  // some tens of microseconds: back-to-back parallel_for calls find the workers awake

void pause() {
#if HWY_ARCH_X86
  _mm_pause();
#endif
}

constexpr size_t kGuard = 4096;  // bytes
constexpr std::byte kGuardByte{0xa5};

// Tasks [next, end) of a loop, on a cache line of their own.
struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

}  // namespace

struct Executor::State {
  explicit State(int threads) : shares(static_cast<size_t>(threads)) {}

  const std::function<void(int64_t, int)>* body = nullptr;
  std::vector<Share> shares;  // of the threads; who is done with its own takes from the others'
  std::atomic<uint64_t> generation{0};
  std::atomic<int> busy_workers{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::exception_ptr error;
  std::vector<std::jthread> workers;

  Memory scratch;
  size_t scratch_bytes = 0;
  size_t peak_scratch_bytes = 0;
  bool poisons_scratch = false;
  std::span<std::byte> guard;  // after poisoned scratch memory

  void work(int thread) {
    const FlushDenormals flush;
    for (size_t i = 0; i < shares.size(); ++i) {
      Share& share = shares[(static_cast<size_t>(thread) + i) % shares.size()];
      for (int64_t task = share.next.fetch_add(1); task < share.end; task = share.next.fetch_add(1)) {
        try {
          (*body)(task, thread);
        } catch (...) {
          const std::scoped_lock lock(mutex);
          if (!error) error = std::current_exception();
        }
      }
    }
  }

  void share_out(int64_t tasks) {
    const auto count = static_cast<int64_t>(shares.size());
    int64_t first = 0;  // the caller, who is awake, has a task before any other thread has one
    for (int64_t thread = 0; thread < count; ++thread) {
      Share& share = shares[static_cast<size_t>(thread)];
      share.next = first;
      share.end = first = (tasks * (thread + 1) + count - 1) / count;
    }
  }

  void worker_loop(int thread) {
    uint64_t seen = 0;
    while (true) {
      for (int spin = 0; spin < kSpins && generation.load() == seen; ++spin) pause();
      if (generation.load() == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load() != seen; });
      }
      seen = generation.load();
      if (stopping) return;
      work(thread);
      busy_workers.fetch_sub(1);
    }
  }

  void start_generation() {
    const std::scoped_lock lock(mutex);
    busy_workers = static_cast<int>(workers.size());
    generation.fetch_add(1);
    wake.notify_all();
  }
};

Executor::Executor(int threads) : state_(std::make_unique<State>(threads)) {
  for (int thread = 1; thread < threads; ++thread) {
    state_->workers.emplace_back([state = state_.get(), thread] { state->worker_loop(thread); });
  }
}

Executor::~Executor() {
  state_->stopping = true;
  state_->start_generation();
  state_->workers.clear();
}

int Executor::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void Executor::parallel_for(int64_t tasks, const std::function<void(int64_t, int)>& body) {
  State& state = *state_;
  state.body = &body;
  state.share_out(tasks);
  if (tasks > 1 && !state.workers.empty()) {
    state.start_generation();
    state.work(0);
    for (int spin = 0; state.busy_workers.load() > 0; ++spin) {
      if (spin < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  } else {
    state.work(0);
  }
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

std::span<std::byte> Executor::scratch(size_t bytes) {
  State& state = *state_;
  state.peak_scratch_bytes = std::max(state.peak_scratch_bytes, bytes);
  if (bytes > state.scratch_bytes) {
    state.scratch.reset();
    state.scratch_bytes = 0;
    state.scratch = allocate(bytes + kGuard);
    state.scratch_bytes = bytes;
  }
  if (state.poisons_scratch) {
    std::memset(state.scratch.get(), 0xff, bytes);
    state.guard = {state.scratch.get() + bytes, kGuard};
    std::ranges::fill(state.guard, kGuardByte);
  }
  return {state.scratch.get(), bytes};
}

void Executor::poison_scratch(bool on) {
  state_->poisons_scratch = on;
  state_->guard = {};
}

bool Executor::scratch_overrun() const {
  return !std::ranges::all_of(state_->guard, [](std::byte byte) { return byte == kGuardByte; });
}

size_t Executor::peak_scratch_bytes() const { return state_->peak_scratch_bytes; }

void Executor::release_scratch() {
  state_->scratch.reset();
  state_->scratch_bytes = 0;
  state_->guard = {};
  state_->peak_scratch_bytes = 0;
}

}  // namespace wkv
