// Batches of variants: one forward for all labels, then a backward each - through one token for the
// attention gradient (SPEC section 2, identity 3), through everything for the pixel gradient.
#include "explain/averaged_pass.h"

#include <algorithm>

namespace vitsnna::explain {

namespace {

using engine::DType;

/// Accumulators on the device, one a label.
struct Accumulators {
  Tensor last_attention;  ///< (labels, heads, tokens)
  Tensor pixels;          ///< (labels, channels * height * width)
};

/// Fills in the variants first .. first + count - 1 of the image.
kernels::Patchify variants_of(const ExplainContext& context, const Variants& variants,
                              index_t first, index_t count) {
  kernels::Patchify images = context.patchify();
  engine::Queue& queue = context.pass.queue;
  if (!variants.alphas.empty()) {
    const Tensor alphas = context.pass.arena.allocate(DType::f32, {count});
    queue.upload(alphas.data, variants.alphas.data() + first, alphas.bytes());
    images.alpha = alphas.f32();
    if (variants.from_baseline && context.baseline) images.baseline = context.baseline.f32();
  }
  if (variants.noisy && context.request.noise) {
    const Tensor noise = context.pass.arena.allocate(DType::f32, {count, context.pixels()});
    queue.upload(noise.data, context.request.noise + first * context.pixels(), noise.bytes());
    images.noise = noise.f32();
  } else if (variants.noisy) {
    images.gaussian.sigma = context.sigma;
    images.gaussian.seed = context.request.seed;
    images.gaussian.first_sample = static_cast<std::uint32_t>(first);
  }
  queue.synchronize();
  return images;
}

void add_batch(const ExplainContext& context, std::span<const index_t> labels,
               const Variants& variants, const AveragedGradients& wanted, index_t first,
               index_t count, const Accumulators& sums) {
  const engine::ArenaScope scope(context.pass.arena);
  const model::VitConfig& config = context.config();
  const float weight = 1.f / static_cast<float>(variants.count);
  model::ForwardInput input;
  input.images = variants_of(context, variants, first, count);
  const model::ForwardPass forward =
      model::forward(context.pass, context.grid, input, count, {wanted.pixels, false});
  for (std::size_t label = 0; label < labels.size(); ++label) {
    const engine::ArenaScope label_scope(context.pass.arena);
    const auto position = static_cast<index_t>(label);
    model::BackwardRequest request;
    request.logit_gradient = context.one_hot(labels.subspan(label, 1), count);
    request.depth = wanted.pixels ? model::BackwardRequest::Depth::patches
                                  : model::BackwardRequest::Depth::last_block;
    const model::BackwardPass backward = model::backward(context.pass, forward, request);
    if (wanted.last_attention) {
      kernels::AttentionGradient gradient;
      gradient.shape = {count, config.num_heads, config.head_dim(), 1, context.tokens()};
      gradient.value = forward.last.key_value.columns_from(config.embed_dim);
      gradient.output_gradient = backward.attention_output_gradient.back().matrix();
      gradient.attention_gradient = sums.last_attention.items(position, 1).f32();
      gradient.mean_items = true;
      gradient.weight = weight;
      context.pass.queue.backend().attention_gradient(context.pass.queue.raw(), gradient);
    }
    if (wanted.pixels) {
      context.add_pixel_gradient(backward.patches_gradient, weight, sums.pixels.items(position, 1));
    }
  }
}

}  // namespace

AveragedResult averaged_gradients(const ExplainContext& context, std::span<const index_t> labels,
                                  const Variants& variants, const AveragedGradients& wanted,
                                  index_t at_a_time) {
  const engine::ArenaScope scope(context.pass.arena);
  const auto count = static_cast<index_t>(labels.size());
  engine::Queue& queue = context.pass.queue;
  Accumulators sums;
  if (wanted.last_attention) {
    sums.last_attention = context.pass.arena.allocate(
        DType::f32, {count, context.config().num_heads, context.tokens()});
    queue.zero(sums.last_attention.data, sums.last_attention.bytes());
  }
  if (wanted.pixels) {
    sums.pixels = context.pass.arena.allocate(DType::f32, {count, context.pixels()});
    queue.zero(sums.pixels.data, sums.pixels.bytes());
  }
  for (index_t first = 0; first < variants.count; first += at_a_time) {
    add_batch(context, labels, variants, wanted, first, std::min(at_a_time, variants.count - first),
              sums);
  }
  AveragedResult result;
  for (index_t label = 0; label < count; ++label) {
    if (wanted.last_attention) {
      result.last_attention.push_back(context.download(sums.last_attention.items(label, 1)));
    }
    if (wanted.pixels) result.pixels.push_back(context.download(sums.pixels.items(label, 1)));
  }
  return result;
}

std::vector<float> baseline_logits(const ExplainContext& context) {
  const engine::ArenaScope scope(context.pass.arena);
  Variants start;
  start.count = 1;
  start.alphas = {0.f};
  start.from_baseline = true;
  model::ForwardInput input;
  input.images = variants_of(context, start, 0, 1);
  const model::ForwardPass forward = model::forward(context.pass, context.grid, input, 1, {});
  return context.download(forward.logits);
}

}  // namespace vitsnna::explain
