// What cuDNN is asked for: fused attention forward and backward, and the patch convolution, over
// the operands that this project's own ops read.
#pragma once

#include <memory>

#include "bench/cudnn_library.h"
#include "kernels/attention.h"
#include "kernels/patchify.h"

namespace vitsnna::bench {

using CudnnGraph = std::shared_ptr<cudnn_frontend::graph::Graph>;
/// Device memory by tensor.
using CudnnOperands = std::unordered_map<std::int64_t, void*>;

/// Tensors of a graph.
enum CudnnTensor : std::int64_t {
  kQuery = 1,
  kKey,
  kValue,
  kOutput,
  kLogSumExp,
  kOutputGradient,
  kQueryGradient,
  kKeyGradient,
  kValueGradient,
  kImages,
  kWeight,
  kPatches,
};

/// Query, key and value are thirds of rows of 3 heads * head_dim; all else is dense; bf16, the
/// log-sum-exp fp32. Graphs are described here, and built by the caller for its handle.
CudnnGraph attention_forward_graph(const kernels::AttentionShape& shape);
CudnnGraph attention_backward_graph(const kernels::AttentionShape& shape);

/// Images (items, height, width, 3), weight (width, patch, patch, 3), patches (items, grid, width),
/// all channels last and bf16.
CudnnGraph patch_convolution_graph(const kernels::Patchify& images, kernels::index_t width);

}  // namespace vitsnna::bench
