// Assembling token sequences, and the gradients of what is added to them.
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"

namespace vitsnna::kernels::cuda {
namespace {

/// What the walk's thread works on: rows 1 + num_patches, columns embed_dim, no gaps.
__device__ __forceinline__ index_t offset_of(const Place& at, const RowWalk& walk) {
  return (at.item * walk.rows + at.row) * walk.columns + at.column;
}

template <int width>
__global__ void __launch_bounds__(256) assemble_tokens_kernel(AssembleTokens a, RowWalk walk) {
  const Place at = place_of_thread(walk, width);
  if (at.column >= walk.columns) return;
  float* token = a.tokens + offset_of(at, walk);
  float content[width] = {}, position[width];
  load_floats(a.position + at.row * walk.columns + at.column, position);
  // A masked row is not multiplied by 0: what lies there may be NaN.
  if (at.row == 0) {
    load_floats(a.cls_token + at.column, content);
  } else if (!a.patch_keep || a.patch_keep[at.item * a.num_patches + at.row - 1] != 0) {
    load_floats(token, content);
  }
#pragma unroll
  for (int k = 0; k < width; ++k) content[k] += position[k];
  store_floats(token, content);
}

/// The walk has one item: a thread takes all items' gradients of its columns, in item order.
template <int width>
__global__ void __launch_bounds__(256)
    assemble_tokens_backward_kernel(AssembleTokensBackward a, RowWalk walk) {
  const Place at = place_of_thread(walk, width);
  if (at.column >= walk.columns) return;
  const bool cls = a.cls_gradient && at.row == 0;
  if (!cls && !a.position_gradient) return;
  const index_t offset = offset_of(at, walk);
  float cls_sum[width] = {}, position_sum[width] = {};
  if (cls) load_floats(a.cls_gradient + at.column, cls_sum);
  if (a.position_gradient) load_floats(a.position_gradient + offset, position_sum);
  const float* from = a.tokens_gradient + offset;
  const index_t item_stride = static_cast<index_t>(walk.rows) * walk.columns;
  for (index_t item = 0; item < a.items; ++item, from += item_stride) {
    float gradient[width];
    load_floats(from, gradient);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      cls_sum[k] += gradient[k];
      position_sum[k] += gradient[k];
    }
  }
  if (cls) store_floats(a.cls_gradient + at.column, cls_sum);
  if (a.position_gradient) store_floats(a.position_gradient + offset, position_sum);
}

}  // namespace

void assemble_tokens(Queue& queue, const AssembleTokens& args) {
  const Extents extents{args.items, 1 + args.num_patches, args.embed_dim};
  RowWalk walk;
  if (args.embed_dim % 4 == 0 && aligned_for(4, 4, args.tokens) &&
      aligned_for(4, 4, args.cls_token) && aligned_for(4, 4, args.position)) {
    const LaunchShape shape = shape_of("assemble_tokens", extents, 4, walk);
    launch<assemble_tokens_kernel<4>>("assemble_tokens", queue, shape, args, walk);
  } else {
    const LaunchShape shape = shape_of("assemble_tokens", extents, 1, walk);
    launch<assemble_tokens_kernel<1>>("assemble_tokens", queue, shape, args, walk);
  }
}

void assemble_tokens_backward(Queue& queue, const AssembleTokensBackward& args) {
  const Extents extents{1, 1 + args.num_patches, args.embed_dim};
  constexpr const char* name = "assemble_tokens_backward";
  RowWalk walk;
  if (args.embed_dim % 4 == 0 && aligned_for(4, 4, args.tokens_gradient) &&
      aligned_for(4, 4, args.cls_gradient) && aligned_for(4, 4, args.position_gradient)) {
    const LaunchShape shape = shape_of(name, extents, 4, walk);
    launch<assemble_tokens_backward_kernel<4>>(name, queue, shape, args, walk);
  } else {
    const LaunchShape shape = shape_of(name, extents, 1, walk);
    launch<assemble_tokens_backward_kernel<1>>(name, queue, shape, args, walk);
  }
}

}  // namespace vitsnna::kernels::cuda
