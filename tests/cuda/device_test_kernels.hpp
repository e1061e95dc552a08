// The kernels of device_test_kernels.cu, as host code sees them: functions to name in a launch.
#pragma once

namespace wkv {

void axpy_f32(char n, double factor, short offset, const float* x, float bias, float* y);
void axpy_f64(char n, double factor, short offset, const double* x, float bias, double* y);
void reverse(int n, int* values);  // with n ints of dynamic shared memory
void indices(int* values);         // one for each block
void meet(unsigned* arrived);      // all blocks, of one thread each
void do_nothing();

}  // namespace wkv
