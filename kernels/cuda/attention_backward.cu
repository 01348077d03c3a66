// Attention backward: chooses the kernels and prepares what they share.
#include <algorithm>
#include <string>

#include "kernels/cuda/attention_backward_tiles.h"
#include "kernels/cuda/attention_few_queries.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/ops.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

bool is_empty(const AttentionBackward& a) {
  return a.shape.items == 0 || a.shape.heads == 0 || a.shape.num_queries == 0 ||
         a.shape.num_keys == 0 || a.gradients == 0;
}

/// One query row has a kernel of its own; with capture (a model of one token) it is tiles' work.
bool takes_single_query(const AttentionBackward& a) {
  return a.shape.num_queries == 1 && !a.capture;
}

/// dQ out of the first pass, by atomic adds.
bool takes_one_pass(const AttentionBackward& a) {
  return !a.deterministic && !a.capture && a.shape.head_dim <= kMostOnePassColumns;
}

index_t query_elements(const AttentionBackward& a) {
  return a.shape.items * a.gradients * a.shape.num_queries * a.shape.heads * a.shape.head_dim;
}

struct Scratch {
  PreparedRows rows;
  float* query_sums = nullptr;
  float* weights = nullptr;  ///< of a batch of chains
  float* sums = nullptr;
  index_t bytes = 0;

  Scratch(void* memory, const AttentionBackward& a) {
    const AttentionShape& s = a.shape;
    ScratchLayout layout(memory);
    rows.padded = prepared_rows(s.num_queries);
    rows.shift = layout.floats(s.items * s.heads * rows.padded);
    rows.row_dot = layout.floats(s.items * a.gradients * s.heads * rows.padded);
    if (takes_one_pass(a)) query_sums = layout.floats(query_elements(a));
    if (a.capture) {
      const index_t chains = std::min<index_t>(kMostChains, a.capture->num_chains);
      weights = layout.floats(chains * s.heads * rows.padded);
      sums = layout.floats(chains * s.heads * s.num_keys);
    }
    bytes = layout.bytes();
  }
};

/// The chains beyond those that the backward takes along: relevance_rows on its operands.
RelevanceRows remaining_chains(const AttentionBackward& a) {
  RelevanceRows rows = *a.capture;
  rows.heads = a.shape.heads;
  rows.head_dim = a.shape.head_dim;
  rows.num_tokens = a.shape.num_keys;
  rows.gradients = a.gradients;
  rows.query = a.query;
  rows.key = a.key;
  rows.value = a.value;
  rows.log_sum_exp = a.log_sum_exp;
  rows.output_gradient = a.output_gradient;
  const index_t taken = std::min<index_t>(kMostChains, rows.num_chains);
  rows.chains += taken;
  rows.num_chains -= taken;
  return rows;
}

}  // namespace

index_t attention_backward_scratch(const Queue& queue, const AttentionBackward& args) {
  if (is_empty(args)) return 0;
  if (takes_single_query(args)) return single_query_backward_scratch(args);
  index_t bytes = Scratch(nullptr, args).bytes;
  if (args.capture) {
    bytes = std::max(bytes, relevance_rows_scratch(queue, remaining_chains(args)));
  }
  return bytes;
}

void attention_backward(Queue& queue, const AttentionBackward& args) {
  if (is_empty(args)) return;
  if (takes_single_query(args)) return single_query_backward(queue, args);
  const char* name = op_name(args);
  const AttentionShape& s = args.shape;
  if (s.head_dim > 128 || s.head_dim % 8 != 0) {
    throw Error(std::string(name) + ": head_dim " + std::to_string(s.head_dim) +
                " on CUDA, wanted a multiple of 8 up to 128");
  }
  const Scratch scratch(queue.scratch, args);
  prepare_rows(name, queue, s, args.gradients, args.log_sum_exp, args.output, args.output_gradient,
               scratch.rows);
  ChainBatch chains;
  if (args.capture) {
    chains = chain_batch(*args.capture, 0, true);
    chains.weights = scratch.weights;
    chains.sums = scratch.sums;
  }
  const bool captures = chains.count > 0;
  if (captures) {
    prepare_chains(name, queue, chains, s.heads, s.num_queries, scratch.rows.padded);
  }
  if (scratch.query_sums) {
    fill_zero(queue, scratch.query_sums,
              static_cast<index_t>(sizeof(float)) * query_elements(args));
  }
  (args.query.dtype == DType::bf16 ? attention_backward_tiles_bf16 : attention_backward_tiles_f32)(
      queue, args, scratch.rows, captures ? &chains : nullptr, scratch.query_sums);
  if (scratch.query_sums) store_query_sums(queue, args, scratch.query_sums);
  if (captures) {
    finish_chains(name, queue, chains, s.heads, s.num_keys);
    const RelevanceRows remaining = remaining_chains(args);
    if (remaining.num_chains > 0) relevance_rows(queue, remaining);
  }
}

}  // namespace vitsnna::kernels::cuda
