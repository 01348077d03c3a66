// The tensor-core attention forward for many queries, one entry a precision: each is compiled in a
// file of its own.
#pragma once

#include "kernels/attention.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// head_dim a multiple of 8 up to 128; any number of items, queries and keys above 0.
void attention_forward_tiles_bf16(Queue& queue, const AttentionForward& args);
void attention_forward_tiles_f32(Queue& queue, const AttentionForward& args);

}  // namespace vitsnna::kernels::cuda
