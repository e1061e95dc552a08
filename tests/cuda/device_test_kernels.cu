// Small kernels for device_test.cpp.
namespace wkv {
namespace {

template <class Number>
__device__ void axpy(int n, Number factor, const Number* x, Number constant, Number* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = factor * x[i] + constant;
}

}  // namespace

// Parameters of many sizes, so that one at a wrong offset shows.
__global__ void axpy_f32(char n, double factor, short offset, const float* x, float bias, float* y) {
  axpy(n, static_cast<float>(factor), x, bias + offset, y);
}

__global__ void axpy_f64(char n, double factor, short offset, const double* x, float bias, double* y) {
  axpy(n, factor, x, static_cast<double>(bias) + offset, y);
}

__global__ void reverse(int n, int* values) {
  extern __shared__ int staged[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) staged[n - 1 - i] = values[i];
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) values[i] = staged[i];
}

__global__ void indices(int* values) { values[blockIdx.y * gridDim.x + blockIdx.x] = 10 * blockIdx.y + blockIdx.x; }

__global__ void meet(unsigned* arrived) {
  atomicAdd(arrived, 1u);
  while (*static_cast<volatile unsigned*>(arrived) < gridDim.x) __nanosleep(20);
}

__global__ void do_nothing() {}

}  // namespace wkv
