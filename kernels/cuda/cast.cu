// fp32 parameters as a product reads them.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_kernels.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <class Out>
__global__ void __launch_bounds__(kThreads)
    cast_kernel(const float* source, Out* destination, index_t count) {
  const index_t element = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (element < count) store_float(destination + element, source[element]);
}

}  // namespace

void cast(Queue& queue, const float* source, void* destination, DType dtype, index_t count) {
  const LaunchShape shape{dim3(grid_extent("cast", count, kThreads)), kThreads, 0};
  with_dtype(dtype, [&]<class Out>() {
    launch<cast_kernel<Out>>("cast", queue, shape, source, static_cast<Out*>(destination), count);
  });
}

}  // namespace vitsnna::kernels::cuda
