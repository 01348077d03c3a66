// Attention of a few query rows (the CLS token in the last block), bound by reading keys and values
// once: keys are split over blocks, whose partial results are combined in the order of the keys.
#pragma once

#include "kernels/attention.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// Up to here the forward reads keys once a query rather than fill tiles with few rows.
constexpr index_t most_few_queries = 4;

index_t few_query_forward_scratch(const AttentionForward& args);
void few_query_forward(Queue& queue, const AttentionForward& args);

/// The backward of exactly one query row, without capture.
index_t single_query_backward_scratch(const AttentionBackward& args);
void single_query_backward(Queue& queue, const AttentionBackward& args);

}  // namespace vitsnna::kernels::cuda
