// destination (+)= factor source between fp32 and bf16; a null source is zeros.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

template <int width, class In, class Out>
__global__ void __launch_bounds__(256)
    copy_rows_kernel(Rows<const In> source, Rows<Out> destination, RowWalk walk, RowFactors factors,
                     bool accumulate) {
  const Place at = place_of_thread(walk, width);
  if (at.column >= walk.columns) return;
  Out* to = destination.row(at.item, at.row) + at.column;
  float values[width] = {};
  if (source.data) load_floats(source.row(at.item, at.row) + at.column, values);
  const float factor = factors.of(at.item * walk.rows + at.row);
#pragma unroll
  for (int k = 0; k < width; ++k) values[k] *= factor;
  if (accumulate) {
    float before[width];
    load_floats(to, before);
#pragma unroll
    for (int k = 0; k < width; ++k) values[k] += before[k];
  }
  store_floats(to, values);
}

}  // namespace

void copy_rows(Queue& queue, const CopyRows& args) {
  if (!args.source.data && args.accumulate) return;
  Extents extents{args.items, args.rows, args.columns};
  ConstMatrix source = args.source;
  Matrix destination = args.destination;
  if (!args.factors.factors) join_rows(extents, source, destination);
  if (!source.data) source = {nullptr, destination.dtype, 0, 0};
  with_dtype(source.dtype, [&]<class In>() {
    with_dtype(destination.dtype, [&]<class Out>() {
      constexpr int widest = sizeof(In) == 2 && sizeof(Out) == 2 ? 8 : 4;
      RowWalk walk;
      if (moves_at_once(widest, extents.columns, source, ConstMatrix(destination))) {
        const LaunchShape shape = shape_of("copy_rows", extents, widest, walk);
        launch<copy_rows_kernel<widest, In, Out>>("copy_rows", queue, shape, Rows<const In>(source),
                                                  Rows<Out>(destination), walk, args.factors,
                                                  args.accumulate);
      } else {
        const LaunchShape shape = shape_of("copy_rows", extents, 1, walk);
        launch<copy_rows_kernel<1, In, Out>>("copy_rows", queue, shape, Rows<const In>(source),
                                             Rows<Out>(destination), walk, args.factors,
                                             args.accumulate);
      }
    });
  });
}

}  // namespace vitsnna::kernels::cuda
