#include "kernels/onednn.hpp"

#include <catch2/catch.hpp>

namespace wkv::kernels {
namespace {

TEST_CASE("onednn: its threads are as many as the executor's, and what they were before afterwards") {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    const Executor executor(threads);
    const Onednn onednn(executor);
    REQUIRE(omp_get_max_threads() == threads);
  }
  REQUIRE(omp_get_max_threads() == before);
}

TEST_CASE("onednn: a tensor is copied into another layout only where it has to be") {
  const Executor executor(1);
  Onednn onednn(executor);
  float data[6] = {1, 2, 3, 4, 5, 6};
  const Onednn::Desc rows({2, 3}, onednn_type(DType::f32), dnnl::memory::dims{3, 1}),
      columns({2, 3}, onednn_type(DType::f32), dnnl::memory::dims{1, 2});
  const dnnl::memory memory = Onednn::memory(rows, data);
  REQUIRE(onednn.in_layout(rows, memory).get_data_handle() == data);
  const dnnl::memory copy = onednn.in_layout(columns, memory);
  onednn.stream().wait();
  REQUIRE(static_cast<const float*>(copy.get_data_handle())[1] == 4);
}

}  // namespace
}  // namespace wkv::kernels
