// The tensor-core attention backward for many queries: what its launcher hands to the kernels, one
// entry a precision, each compiled in a file of its own.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/attention_prepare.h"
#include "kernels/cuda/relevance_chains.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// Columns of a head for which the one-pass kernel is offered: with more there are no registers
/// left for dQ beside dK and dV.
constexpr index_t kMostOnePassColumns = 64;

/// dK and dV, and the chains' sums if `chains` is not null, then dQ. With `query_sums` (items *
/// gradients, num_queries, heads * head_dim; zeros) dQ / scale is instead added to it in the first
/// pass, in any order; `chains` is null then. head_dim a multiple of 8 up to 128; any number of
/// items, queries and keys above 0.
void attention_backward_tiles_bf16(Queue& queue, const AttentionBackward& args,
                                   const PreparedRows& rows, const ChainBatch* chains,
                                   float* query_sums);
void attention_backward_tiles_f32(Queue& queue, const AttentionBackward& args,
                                  const PreparedRows& rows, const ChainBatch* chains,
                                  float* query_sums);
/// query_gradient = scale * query_sums
void store_query_sums(Queue& queue, const AttentionBackward& args, const float* query_sums);

}  // namespace vitsnna::kernels::cuda
