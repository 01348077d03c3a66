// Which attention forward runs: the one place that decides. A kernel for one architecture (TMA and
// wgmma) joins here.
#include <string>

#include "kernels/cuda/attention_few_queries.h"
#include "kernels/cuda/attention_forward_tiles.h"
#include "kernels/cuda/ops.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

bool has_few_queries(const AttentionShape& s) { return s.num_queries <= most_few_queries; }

}  // namespace

index_t attention_forward_scratch(const Queue&, const AttentionForward& args) {
  return has_few_queries(args.shape) ? few_query_forward_scratch(args) : 0;
}

void attention_forward(Queue& queue, const AttentionForward& args) {
  const AttentionShape& s = args.shape;
  if (s.head_dim <= 0 || s.head_dim > 128 || s.head_dim % 8 != 0) {
    throw Error("attention_forward: head_dim " + std::to_string(s.head_dim) +
                " on CUDA, wanted a multiple of 8 up to 128");
  }
  if (s.items == 0 || s.heads == 0 || s.num_queries == 0 || s.num_keys == 0) return;
  if (has_few_queries(s)) {
    few_query_forward(queue, args);
  } else if (args.query.dtype == DType::bf16) {
    attention_forward_tiles_bf16(queue, args);
  } else {
    attention_forward_tiles_f32(queue, args);
  }
}

}  // namespace vitsnna::kernels::cuda
