// 128-bit integers, for which nvcc generates chains of carries.
using Wide = unsigned __int128;

// in: pairs (high, low) of a and b; out: a / b, a % b, a * b, a - b, of each the high half first.
extern "C" __global__ void wide_integers(const unsigned long long* in, unsigned long long* out) {
  in += 4 * threadIdx.x;
  out += 8 * threadIdx.x;
  const Wide a = Wide{in[0]} << 64 | in[1], b = Wide{in[2]} << 64 | in[3];
  const Wide results[] = {a / b, a % b, a * b, a - b};
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = static_cast<unsigned long long>(results[i] >> 64);
    out[2 * i + 1] = static_cast<unsigned long long>(results[i]);
  }
}
