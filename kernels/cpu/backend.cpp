// The CPU's table of ops.
#include "kernels/backend.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/error.h"

namespace vitsnna::kernels {
namespace {

constexpr std::size_t alignment = 64;

void* allocate(index_t bytes) {
  if (bytes < 0) throw Error("memory: " + std::to_string(bytes) + " bytes wanted");
  const auto size = static_cast<std::size_t>(cpu::round_up(bytes > 0 ? bytes : 1, alignment));
  void* memory = std::aligned_alloc(alignment, size);
  if (!memory)
    throw OutOfMemory("memory: " + std::to_string(bytes) + " bytes wanted, not available");
  return memory;
}
void deallocate(void* memory, index_t) noexcept { std::free(memory); }

void copy(Queue&, void* destination, const void* source, index_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, static_cast<std::size_t>(bytes));
}
void fill_zero(Queue&, void* memory, index_t bytes) {
  if (bytes > 0) std::memset(memory, 0, static_cast<std::size_t>(bytes));
}
void synchronize(Queue&) {}

bool supports(DType dtype) { return dtype == DType::f32 || cpu::has_fast_bf16(); }

Backend make_backend() {
  Backend b;
  b.name = "cpu";
  b.allocate = allocate;
  b.deallocate = deallocate;
  b.copy_to_device = copy;
  b.copy_to_host = copy;
  b.fill_zero = fill_zero;
  b.synchronize = synchronize;
  b.supports = supports;
  b.linear_prepared_bytes = cpu::linear_prepared_bytes;
  b.prepare_linear = {cpu::prepare_linear, nullptr};
  b.linear = {cpu::linear, cpu::linear_scratch};
  b.linear_weight_gradient = {cpu::linear_weight_gradient, cpu::linear_weight_gradient_scratch};
  b.attention_forward = {cpu::attention_forward, cpu::attention_forward_scratch};
  b.attention_backward = {cpu::attention_backward, cpu::attention_backward_scratch};
  b.attention_probabilities = {cpu::attention_probabilities, cpu::attention_probabilities_scratch};
  b.attention_gradient = {cpu::attention_gradient, cpu::attention_gradient_scratch};
  b.relevance_rows = {cpu::relevance_rows, cpu::relevance_rows_scratch};
  b.relevance_cls_row = {cpu::relevance_cls_row, nullptr};
  b.value_norm = {cpu::value_norm, cpu::value_norm_scratch};
  b.layer_norm = {cpu::layer_norm};
  b.layer_norm_backward = {cpu::layer_norm_backward, cpu::layer_norm_backward_scratch};
  b.gelu = {cpu::gelu};
  b.patchify = {cpu::patchify};
  b.unpatchify_gradient = {cpu::unpatchify_gradient};
  b.fill_gaussian = {cpu::fill_gaussian};
  b.resample_position_embedding = {cpu::resample_position_embedding};
  b.resample_position_embedding_backward = {cpu::resample_position_embedding_backward};
  b.assemble_tokens = {cpu::assemble_tokens};
  b.assemble_tokens_backward = {cpu::assemble_tokens_backward};
  b.copy_rows = {cpu::copy_rows};
  b.min_max = {cpu::min_max, cpu::min_max_scratch};
  b.resample_normalize = {cpu::resample_normalize, cpu::resample_normalize_scratch};
  b.render_overlay = {cpu::render_overlay};
  b.augment = {cpu::augment, cpu::augment_scratch};
  b.dino_loss = {cpu::dino_loss, cpu::dino_loss_scratch};
  b.update_centre = {cpu::update_centre};
  b.bce_with_logits = {cpu::bce_with_logits};
  b.normalize_rows = {cpu::normalize_rows};
  b.normalize_rows_backward = {cpu::normalize_rows_backward};
  b.gradient_norms = {cpu::gradient_norms, cpu::gradient_norms_scratch};
  b.adamw = {cpu::adamw};
  b.sgd = {cpu::sgd};
  b.exponential_average = {cpu::exponential_average};
  return b;
}

}  // namespace

const Backend& cpu_backend() {
  static const Backend backend = make_backend();
  return backend;
}

}  // namespace vitsnna::kernels
