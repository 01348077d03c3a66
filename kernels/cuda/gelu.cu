// gelu(t) = t (1 + erf(t / sqrt 2)) / 2, element by element.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

template <int width, class In, class Out>
__global__ void __launch_bounds__(256)
    gelu_kernel(Rows<const In> input, Rows<Out> output, RowWalk walk) {
  const Place at = place_of_thread(walk, width);
  if (at.column >= walk.columns) return;
  float t[width];
  load_floats(input.row(at.item, at.row) + at.column, t);
#pragma unroll
  for (int k = 0; k < width; ++k) t[k] = gelu_of(t[k]);
  store_floats(output.row(at.item, at.row) + at.column, t);
}

}  // namespace

void gelu(Queue& queue, const Gelu& args) {
  Extents extents{args.items, args.rows, args.columns};
  ConstMatrix input = args.input;
  Matrix output = args.output;
  join_rows(extents, input, output);
  with_dtype(input.dtype, [&]<class In>() {
    with_dtype(output.dtype, [&]<class Out>() {
      constexpr int widest = sizeof(In) == 2 && sizeof(Out) == 2 ? 8 : 4;
      RowWalk walk;
      if (moves_at_once(widest, extents.columns, input, ConstMatrix(output))) {
        const LaunchShape shape = shape_of("gelu", extents, widest, walk);
        launch<gelu_kernel<widest, In, Out>>("gelu", queue, shape, Rows<const In>(input),
                                             Rows<Out>(output), walk);
      } else {
        const LaunchShape shape = shape_of("gelu", extents, 1, walk);
        launch<gelu_kernel<1, In, Out>>("gelu", queue, shape, Rows<const In>(input),
                                        Rows<Out>(output), walk);
      }
    });
  });
}

}  // namespace vitsnna::kernels::cuda
