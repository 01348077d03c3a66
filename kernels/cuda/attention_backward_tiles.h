// The tensor-core attention backward for many queries: what its launcher hands to the kernels, one
// entry a precision, each compiled in a file of its own.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/attention_prepare.h"
#include "kernels/cuda/relevance_chains.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// dK and dV, and the chains' sums if `chains` is not null, then dQ. head_dim a multiple of 8 up to
/// 128; any number of items, queries and keys above 0.
void attention_backward_tiles_bf16(Queue& queue, const AttentionBackward& args,
                                   const PreparedRows& rows, const ChainBatch* chains);
void attention_backward_tiles_f32(Queue& queue, const AttentionBackward& args,
                                  const PreparedRows& rows, const ChainBatch* chains);

}  // namespace vitsnna::kernels::cuda
