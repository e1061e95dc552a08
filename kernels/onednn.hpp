// What the variants by oneDNN share. The library as Debian builds it runs its threads by OpenMP.
#pragma once

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <utility>

#include "harness/executor.hpp"
#include "harness/problem.hpp"

namespace wkv::kernels {

// Engine and stream for the work of one run, on as many threads as the executor has.
class Onednn {
 public:
  using Desc = dnnl::memory::desc;

  explicit Onednn(const Executor& executor) : threads_before_(omp_get_max_threads()) {
    omp_set_num_threads(executor.threads());
  }
  ~Onednn() { omp_set_num_threads(threads_before_); }
  Onednn(const Onednn&) = delete;
  Onednn& operator=(const Onednn&) = delete;

  static const dnnl::engine& engine() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
  }
  dnnl::stream& stream() { return stream_; }

  static dnnl::memory memory(const Desc& desc, const void* data) {
    return dnnl::memory(desc, engine(), const_cast<void*>(data));
  }
  // In the layout that a primitive asks for: the memory itself if it is so already, or else a reordered copy.
  dnnl::memory in_layout(const Desc& desc, dnnl::memory from) {
    if (from.get_desc() == desc) return from;
    dnnl::memory to(desc, engine());
    dnnl::reorder(from, to).execute(stream_, from, to);
    return to;
  }

 private:
  int threads_before_;
  dnnl::stream stream_{engine()};
};

constexpr dnnl::memory::data_type onednn_type(DType dtype) {
  return dtype == DType::f32    ? dnnl::memory::data_type::f32
         : dtype == DType::bf16 ? dnnl::memory::data_type::bf16
                                : dnnl::memory::data_type::f16;
}

}  // namespace wkv::kernels
