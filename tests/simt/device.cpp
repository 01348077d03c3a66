// Where a thread of a kernel finds its position.
#include "tests/simt/device.h"

constinit thread_local uint3 threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0};
constinit thread_local dim3 blockDim, gridDim;
