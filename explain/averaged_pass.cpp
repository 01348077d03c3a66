// Batches of variants: one forward for all labels, then a backward each - through one token for the
// attention gradient (SPEC section 2, identity 3), through everything for the pixel gradient.
#include "explain/averaged_pass.h"

#include <algorithm>

namespace vitsnna::explain {

namespace {

using engine::DType;

/// Fills in the variants first .. first + count - 1 of the image.
kernels::Patchify variants_of(const ExplainContext& context, const Variants& variants,
                              index_t first, index_t count) {
  kernels::Patchify images = context.patchify();
  if (variants.alphas) {
    images.alpha = variants.alphas.f32() + first;
    if (variants.from_baseline && context.inputs.baseline) {
      images.baseline = context.inputs.baseline.f32();
    }
  }
  if (variants.noisy && context.shape.given_noise) {
    engine::Queue& queue = context.pass.queue;
    const Tensor noise = context.pass.arena.allocate(DType::f32, {count, context.pixels()});
    queue.upload(noise.data, context.request.noise + first * context.pixels(), noise.bytes());
    images.noise = noise.f32();
  } else if (variants.noisy) {
    images.gaussian.level = context.request.noise_level;
    images.gaussian.extremes = context.extremes.f32();
    images.gaussian.seed = context.request.seed;
    images.gaussian.first_sample = static_cast<std::uint32_t>(first);
  }
  return images;
}

void add_batch(const ExplainContext& context, index_t labels, const Variants& variants,
               const AveragedGradients& sums, index_t first, index_t count) {
  const engine::ArenaScope scope(context.pass.arena);
  const model::VitConfig& config = context.config();
  const float weight = 1.f / static_cast<float>(variants.count);
  model::ForwardInput input;
  input.images = variants_of(context, variants, first, count);
  const bool to_pixels = static_cast<bool>(sums.pixels);
  const model::ForwardPass forward =
      model::forward(context.pass, context.grid, input, count, {to_pixels, false});
  for (index_t label = 0; label < labels; ++label) {
    const engine::ArenaScope label_scope(context.pass.arena);
    const Tensor unit = context.pass.arena.allocate(DType::f32, {count, config.num_classes});
    context.copy(context.inputs.unit_labels.items(label, 1), unit);
    model::BackwardRequest request;
    request.logit_gradient = unit;
    request.depth = to_pixels ? model::BackwardRequest::Depth::patches
                              : model::BackwardRequest::Depth::last_block;
    const model::BackwardPass backward = model::backward(context.pass, forward, request);
    if (sums.last_attention) {
      kernels::AttentionGradient gradient;
      gradient.shape = {count, config.num_heads, config.head_dim(), 1, context.tokens()};
      gradient.value = context.values(forward, config.depth - 1);
      gradient.output_gradient = backward.attention_output_gradient.back().matrix();
      gradient.attention_gradient = sums.last_attention.items(label, 1).f32();
      gradient.mean_items = true;
      gradient.weight = weight;
      context.pass.queue.backend().attention_gradient(context.pass.queue.raw(), gradient);
    }
    if (to_pixels) {
      context.add_pixel_gradient(backward.patches_gradient, weight, sums.pixels.items(label, 1));
    }
  }
}

}  // namespace

void averaged_gradients(const ExplainContext& context, index_t labels, const Variants& variants,
                        const AveragedGradients& wanted, index_t at_a_time) {
  for (const Tensor& sums : {wanted.last_attention, wanted.pixels}) {
    if (sums) context.pass.queue.zero(sums.data, sums.bytes());
  }
  for (index_t first = 0; first < variants.count; first += at_a_time) {
    add_batch(context, labels, variants, wanted, first,
              std::min(at_a_time, variants.count - first));
  }
}

void baseline_logits(const ExplainContext& context) {
  const engine::ArenaScope scope(context.pass.arena);
  const Tensor zero = context.pass.arena.allocate(DType::f32, {1});
  context.pass.queue.zero(zero.data, zero.bytes());
  Variants start;
  start.count = 1;
  start.alphas = zero;
  start.from_baseline = true;
  model::ForwardInput input;
  input.images = variants_of(context, start, 0, 1);
  const model::ForwardPass forward = model::forward(context.pass, context.grid, input, 1, {});
  context.copy(forward.logits, context.results.baseline_logits);
}

}  // namespace vitsnna::explain
