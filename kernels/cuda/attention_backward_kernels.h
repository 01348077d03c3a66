// The launches of the attention backward: a key pass and a query pass (each sum has one owner and
// one order, so the same bits every time), or one key pass that adds dQ up by atomics. Included by
// the two files that instantiate it, one a precision.
#pragma once

#include "kernels/cuda/attention_backward_keys.h"
#include "kernels/cuda/attention_backward_queries.h"
#include "kernels/cuda/attention_backward_tiles.h"

namespace vitsnna::kernels::cuda {

/// Labels of an item that a block can take together: what the registers hold.
template <class Element, int head_dim>
struct SharedLabels {
  static constexpr bool is_bf16 = sizeof(Element) == 2;
  static constexpr int keys = head_dim <= (is_bf16 ? 64 : 32) ? 2 : 1;
  static constexpr int queries = head_dim <= 64 ? 2 : 1;
};

/// Labels have blocks of their own as long as those are no more than this (one an SM of the largest
/// GPU today): sharing S would only leave SMs idle. A gradient's bits are the same either way.
constexpr index_t most_separate_blocks = 132;

/// start<labels>(operands) for the labels that share a block, and for those left over.
template <int shared, class Element, class Start>
void launch_label_groups(BackwardOperands<Element> p, index_t blocks_of_a_label,
                         const Start& start) {
  const index_t gradients = p.gradients;
  index_t together = 0;
  if constexpr (shared > 1) {
    if (blocks_of_a_label * gradients > most_separate_blocks) {
      p.groups = gradients / shared;
      together = p.groups * shared;
      if (p.groups > 0) start.template operator()<shared>(p);
    }
  }
  p.first_gradient = together;
  p.groups = gradients - together;
  if (p.groups > 0) start.template operator()<1>(p);
}

template <class Element, int head_dim>
void launch_backward_tiles(Queue& queue, const AttentionBackward& args, const PreparedRows& rows,
                           const ChainBatch* chains, float* query_sums) {
  const char* name = op_name(args);
  const AttentionShape& s = args.shape;
  BackwardOperands<Element> p;
  p.query = Rows<const Element>(args.query);
  p.key = Rows<const Element>(args.key);
  p.value = Rows<const Element>(args.value);
  p.output_gradient = Rows<const Element>(args.output_gradient);
  p.query_gradient = Rows<Element>(args.query_gradient);
  p.key_gradient = Rows<Element>(args.key_gradient);
  p.value_gradient = Rows<Element>(args.value_gradient);
  p.rows = rows;
  p.query_sums = query_sums;
  p.shape = s;
  p.gradients = args.gradients;
  p.scale = softmax_scale(s.head_dim);
  p.scale_log2e = softmax_scale_log2e(s.head_dim);
  p.aligned = rows_are_aligned(args.query) && rows_are_aligned(args.key) &&
              rows_are_aligned(args.value) && rows_are_aligned(args.output_gradient);
  p.gradients_aligned = rows_are_aligned(args.query_gradient) &&
                        rows_are_aligned(args.key_gradient) &&
                        rows_are_aligned(args.value_gradient);

  const auto start_keys = [&]<int labels, bool capture, bool one_pass>(
                              const BackwardOperands<Element>& operands, const auto& captured) {
    using Keys = KeyPass<Element, head_dim, labels>;
    const index_t key_tiles = ceil_div(s.num_keys, Keys::keys);
    const LaunchShape blocks{
        dim3(grid_extent(name, key_tiles * s.heads * s.items * operands.groups)), Keys::threads,
        Keys::bytes(chains ? most_chains(*chains, labels) : 0, one_pass)};
    launch<attention_backward_keys_kernel<Element, head_dim, labels, capture, one_pass>>(
        name, queue, blocks, operands, key_tiles, captured);
  };
  if constexpr (head_dim <= kMostOnePassColumns) {
    if (query_sums) {
      p.groups = args.gradients;
      return start_keys.template operator()<1, false, true>(p, 0);
    }
  }
  using Shared = SharedLabels<Element, head_dim>;
  const index_t heads = s.heads * s.items;
  launch_label_groups<Shared::keys>(
      p, ceil_div(s.num_keys, KeyPass<Element, head_dim, 1>::keys) * heads,
      [&]<int labels>(const BackwardOperands<Element>& operands) {
        if (chains) {
          start_keys.template operator()<labels, true, false>(operands, *chains);
        } else {
          start_keys.template operator()<labels, false, false>(operands, 0);
        }
      });
  launch_label_groups<Shared::queries>(
      p, ceil_div(s.num_queries, QueryPass<Element, head_dim, 1>::queries) * heads,
      [&]<int labels>(const BackwardOperands<Element>& operands) {
        using Queries = QueryPass<Element, head_dim, labels>;
        const index_t query_tiles = ceil_div(s.num_queries, Queries::queries);
        const LaunchShape blocks{dim3(grid_extent(name, query_tiles * heads * operands.groups)),
                                 Queries::threads, Queries::bytes};
        launch<attention_backward_queries_kernel<Element, head_dim, labels>>(name, queue, blocks,
                                                                             operands, query_tiles);
      });
}

/// The smallest instantiation that holds a head: 32, 64, 96 or 128 columns.
template <class Element>
void launch_backward_dims(Queue& queue, const AttentionBackward& args, const PreparedRows& rows,
                          const ChainBatch* chains, float* query_sums) {
  if (args.shape.head_dim <= 32) {
    launch_backward_tiles<Element, 32>(queue, args, rows, chains, query_sums);
  } else if (args.shape.head_dim <= 64) {
    launch_backward_tiles<Element, 64>(queue, args, rows, chains, query_sums);
  } else if (args.shape.head_dim <= 96) {
    launch_backward_tiles<Element, 96>(queue, args, rows, chains, query_sums);
  } else {
    launch_backward_tiles<Element, 128>(queue, args, rows, chains, query_sums);
  }
}

}  // namespace vitsnna::kernels::cuda
