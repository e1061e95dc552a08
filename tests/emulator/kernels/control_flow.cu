// Control flow as nvcc makes it: switch tables, recursion, function pointers, virtual functions, local arrays, asserts.
#include <cassert>
#include <cstdint>
#include <cstdio>

extern "C" __global__ void switch_table(const int* which, int* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int x = which[i], y;
  switch (x) {
    case 0:
      y = x + 10;
      break;
    case 1:
      y = n / 3;
      break;
    case 2:
      y = n % 7;
      break;
    case 3:
      y = __popc(n);
      break;
    case 4:
      y = n << 2;
      break;
    case 5:
      y = -n;
      break;
    case 6:
      y = n * n;
      break;
    case 7:
      y = __clz(n);
      break;
    case 8:
      y = n ^ 0x55;
      break;
    case 9:
      y = n & 0x33;
      break;
    case 10:
      y = max(n, 100);
      break;
    case 11:
      y = __brev(n);
      break;
    default:
      y = -1;
  }
  out[i] = y;
}

__device__ __noinline__ uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

extern "C" __global__ void recursion(uint32_t* out) { out[threadIdx.x] = ackermann(2, threadIdx.x % 5); }

using Function = float (*)(float, float);
__device__ __noinline__ float sum_of(float a, float b) { return a + b; }
__device__ __noinline__ float product_of(float a, float b) { return a * b; }
__device__ __noinline__ float larger_of(float a, float b) { return a > b ? a : b; }
__device__ Function functions[3] = {sum_of, product_of, larger_of};

extern "C" __global__ void function_pointers(const int* which, float* out) {
  out[threadIdx.x] = functions[which[threadIdx.x]](static_cast<float>(threadIdx.x), 3.0f);
}

struct Shape {
  __device__ virtual ~Shape() {}
  __device__ virtual float area() const = 0;
};
struct Square : Shape {
  float side;
  __device__ explicit Square(float s) : side(s) {}
  __device__ float area() const override { return side * side; }
};
struct Disc : Shape {
  float radius;
  __device__ explicit Disc(float r) : radius(r) {}
  __device__ float area() const override { return 3.0f * radius * radius; }
};

__device__ __noinline__ float area_of(const Shape& shape) { return shape.area(); }

extern "C" __global__ void virtual_functions(float* out) {
  const float x = static_cast<float>(threadIdx.x);
  const Square square(x);
  const Disc disc(x);
  out[threadIdx.x] = area_of(threadIdx.x % 2 ? static_cast<const Shape&>(square) : disc);
}

// An array that is indexed at run time stays in local memory.
extern "C" __global__ void local_array(const int* keys, int* sorted, int each) {
  int mine[24];
  for (int i = 0; i < each; ++i) mine[i] = keys[threadIdx.x * each + i];
  for (int i = 1; i < each; ++i) {
    const int key = mine[i];
    int at = i;
    for (; at > 0 && mine[at - 1] > key; --at) mine[at] = mine[at - 1];
    mine[at] = key;
  }
  for (int i = 0; i < each; ++i) sorted[threadIdx.x * each + i] = mine[i];
}

struct Parameters {
  int n;
  float scale[8];
  const float* in;
};

// A parameter struct by value whose array is indexed at run time.
extern "C" __global__ void struct_parameter(const __grid_constant__ Parameters parameters, float* out) {
  const int i = threadIdx.x;
  if (i < parameters.n) out[i] = parameters.in[i] * parameters.scale[i % 8];
}

// Collatz steps: loops of different length with breaks and continues.
extern "C" __global__ void diverging_loops(int* out) {
  int steps = 0;
  for (long long x = threadIdx.x + 1; x != 1; ++steps) {
    if (steps > 1000) break;
    if (x % 2) {
      x = 3 * x + 1;
      continue;
    }
    x /= 2;
  }
  out[threadIdx.x] = steps + (__activemask() == 0xffffffff ? 0 : 10000);
}

extern "C" __global__ void asserts(const int* in, int limit) {
  const int value = in[threadIdx.x];
  assert(value < limit);
}

extern "C" __global__ void prints(int x, float y, const char* text) {
  if (threadIdx.x < 2) printf("%s: thread %d has %d and %.2f, %lld%%\n", text, threadIdx.x, x, y, 1LL << 40);
}

extern "C" __global__ void prints_in_many_ways(int x) {
  const char local[] = {'l', 'o', 'c', static_cast<char>('0' + x % 10), 0};
  const int length = printf("%*d|%-*d|%.*f|%05d|%+d|%#x|%zu|%hhd|%.2s|%5s|%c|%e\n", 6, x, 4, x, 2, 3.14159, x, x, x,
                            size_t{1} << 33, static_cast<signed char>(-2), "xyz", local, 'A', 12345.5);
  printf("%d, %y %", length);
}

// Dynamic shared memory from a device function, and a carry chain of 128-bit products.
extern __shared__ unsigned long long pool[];
__device__ __noinline__ void put(int i, unsigned long long x) { pool[i] = x; }
extern "C" __global__ void wide_products(const unsigned long long* a, unsigned long long* out) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a[threadIdx.x]) * a[threadIdx.x] + a[0];
  put(threadIdx.x, static_cast<unsigned long long>(product >> 64) ^ static_cast<unsigned long long>(product));
  __syncthreads();
  out[threadIdx.x] = pool[blockDim.x - 1 - threadIdx.x] / (a[threadIdx.x] | 1) + pool[threadIdx.x] % 1000003;
}
