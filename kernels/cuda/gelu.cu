// gelu(t) = t (1 + erf(t / sqrt 2)) / 2, element by element.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <class In, class Out>
__global__ void __launch_bounds__(kThreads)
    gelu_kernel(Rows<const In> input, Rows<Out> output, index_t rows, index_t columns,
                index_t total) {
  const index_t element = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (element >= total) return;
  const index_t row = element / columns, column = element % columns;
  const float t = load_float(input.row(row / rows, row % rows) + column);
  store_float(output.row(row / rows, row % rows) + column, gelu_of(t));
}

}  // namespace

void gelu(Queue& queue, const Gelu& args) {
  const index_t total = args.items * args.rows * args.columns;
  const LaunchShape shape{dim3(grid_extent("gelu", total, kThreads)), kThreads, 0};
  with_dtype(args.input.dtype, [&]<class In>() {
    with_dtype(args.output.dtype, [&]<class Out>() {
      launch<gelu_kernel<In, Out>>("gelu", queue, shape, Rows<const In>(args.input),
                                   Rows<Out>(args.output), args.rows, args.columns, total);
    });
  });
}

}  // namespace vitsnna::kernels::cuda
