// The attention forward of one query row an item: the last block asks for CLS alone.
#pragma once

#include "kernels/attention.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cpu {

/// AttentionForward with num_queries == 1 and at least one key.
void single_query_forward(Queue& queue, const AttentionForward& args);
index_t single_query_forward_scratch(const Queue& queue, const AttentionForward& args);

}  // namespace vitsnna::kernels::cpu
