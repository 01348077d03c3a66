// The CUDA backend's table of ops: compiled for CUDA and, as it is, for the host's SIMT layer.
#include "kernels/cuda/backend.h"

#include "kernels/cuda/context.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/ops.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Every architecture that device code is built for has bf16 tensor cores.
bool supports(DType) { return true; }

Backend make_backend() {
  Backend b;
  b.name = backend_name();
  b.open = open;
  b.close = close;
  b.allocate = allocate;
  b.deallocate = deallocate;
  b.copy_to_device = copy_to_device;
  b.copy_to_host = copy_to_host;
  b.fill_zero = fill_zero;
  b.synchronize = synchronize;
  b.allocate_pinned = allocate_pinned;
  b.deallocate_pinned = deallocate_pinned;
  b.memory_info = memory_info;
  b.begin_capture = begin_capture;
  b.end_capture = end_capture;
  b.launch_graph = launch_graph;
  b.supports = supports;
  b.linear_prepared_bytes = linear_prepared_bytes;
  b.prepared_serves_both_ways = true;
  b.prepare_linear = {prepare_linear};
  b.linear = {linear, linear_scratch};
  b.linear_weight_gradient = {linear_weight_gradient, linear_weight_gradient_scratch};
  b.attention_forward = {attention_forward, attention_forward_scratch};
  b.attention_backward = {attention_backward, attention_backward_scratch};
  b.attention_probabilities = {attention_probabilities};
  b.attention_gradient = {attention_gradient};
  b.relevance_rows = {relevance_rows, relevance_rows_scratch};
  b.relevance_cls_row = {relevance_cls_row};
  b.value_norm = {value_norm, value_norm_scratch};
  b.layer_norm = {layer_norm};
  b.layer_norm_backward = {layer_norm_backward, layer_norm_backward_scratch};
  b.gelu = {gelu};
  b.patchify = {patchify};
  b.unpatchify_gradient = {unpatchify_gradient};
  b.fill_gaussian = {fill_gaussian};
  b.resample_position_embedding = {resample_position_embedding};
  b.resample_position_embedding_backward = {resample_position_embedding_backward};
  b.assemble_tokens = {assemble_tokens};
  b.assemble_tokens_backward = {assemble_tokens_backward};
  b.copy_rows = {copy_rows};
  b.min_max = {min_max, min_max_scratch};
  b.resample_normalize = {resample_normalize, resample_normalize_scratch};
  b.render_overlay = {render_overlay, render_overlay_scratch};
  b.augment = {augment, augment_scratch};
  b.dino_loss = {dino_loss, dino_loss_scratch};
  b.update_centre = {update_centre};
  b.bce_with_logits = {bce_with_logits};
  b.normalize_rows = {normalize_rows};
  b.normalize_rows_backward = {normalize_rows_backward};
  b.gradient_norms = {gradient_norms, gradient_norms_scratch};
  b.adamw = {adamw};
  b.sgd = {sgd};
  b.exponential_average = {exponential_average};
  return b;
}

}  // namespace

const Backend& backend() {
  static const Backend table = make_backend();
  return table;
}

}  // namespace vitsnna::kernels::cuda
