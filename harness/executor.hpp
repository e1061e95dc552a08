// The threads and the scratch memory that a CPU variant runs with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace wkv {

class Executor {
 public:
  // threads >= 1, the caller's among them.
  explicit Executor(int threads);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  int threads() const;

  // Runs body(task, thread) for every task in [0, tasks), thread in [0, threads()), and returns when all are done.
  // Every thread takes a share of neighbouring tasks, in order: the same one in every call, so that it finds in its
  // caches what it left there. One that is done goes on with what the others have left. The first exception of a task
  // is rethrown here. Denormal floats are flushed to zero inside body: a decayed state would otherwise slow down a
  // hundredfold.
  void parallel_for(int64_t tasks, const std::function<void(int64_t task, int thread)>& body);

  // Scratch memory of at least this many bytes, page-aligned, contents undefined; valid until the next call of
  // scratch. Kept from run to run, so that a timed run does not allocate. Its largest size is a cell's extra memory.
  std::span<std::byte> scratch(size_t bytes);
  // While it is on, scratch hands out memory full of NaN instead of what the last run left there, with a guard after
  // it.
  void poison_scratch(bool on);
  // Whether what was handed out last, poisoned, has been written past its end.
  bool scratch_overrun() const;
  size_t peak_scratch_bytes() const;
  void release_scratch();  // frees it and starts the peak anew

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace wkv
