// Clean forward, clean backward and chains, then the averages over variants.
#include "explain/passes.h"

#include <algorithm>

namespace vitsnna::explain {

Passes::Passes(const model::PassContext& pass, const ExplainRequest& request,
               const ExplanationShape& shape, const Batching& batching)
    : shape_(shape), batching_(batching), context_{pass,     request, shape, inputs_,
                                                   results_, {},      {}} {
  inputs_.allocate(pass.arena, pass.vit.config(), shape);
  results_.allocate(pass.arena, pass.vit.config(), shape);
  if (shape.needs.noise()) context_.extremes = pass.arena.allocate(engine::DType::f32, {2});
}

void Passes::forward(StageClock& clock) {
  clock.enter("forward");
  context_.grid = model::embed_grid(context_.pass, shape_.height, shape_.width);
  mark_ = context_.pass.arena.mark();
  forward_.emplace(clean_forward(context_));
  clock.leave();
}

void Passes::explain(index_t labels, StageClock& clock) {
  clock.enter("relevance");
  shared_rows(context_, *forward_);
  for (index_t first = 0; first < labels; first += batching_.labels) {
    explain_labels(context_, *forward_, first, std::min(batching_.labels, labels - first), clock);
  }
  forward_.reset();
  context_.pass.arena.release(mark_);  // the variants need nothing of the clean passes
  noise(labels, clock);
  integrated_gradients(labels, clock);
  clock.leave();
}

void Passes::noise(index_t labels, StageClock& clock) const {
  if (!shape_.needs.noise()) return;
  clock.enter("noise");
  kernels::MinMax extremes;
  extremes.elements = inputs_.image.shape.elements();
  extremes.input = inputs_.image.f32();
  extremes.extremes = context_.extremes.f32();
  context_.pass.queue.backend().min_max(context_.pass.queue.raw(), extremes);
  Variants noisy;
  noisy.count = shape_.samples;
  noisy.noisy = true;
  averaged_gradients(context_, labels, noisy,
                     {results_.noisy_last_gradient, results_.noisy_pixel_gradient},
                     batching_.samples);
}

void Passes::integrated_gradients(index_t labels, StageClock& clock) const {
  if (shape_.needs.scaled_last_gradient) {
    clock.enter("integrated_gradients");
    Variants scaled;
    scaled.count = shape_.integration_steps;
    scaled.alphas = inputs_.scaled_alphas;
    averaged_gradients(context_, labels, scaled, {results_.scaled_last_gradient, {}},
                       batching_.samples);
  }
  if (shape_.needs.path_pixel_gradient) {
    clock.enter("integrated_gradients");
    Variants path;
    path.count = shape_.integration_steps;
    path.alphas = inputs_.path_alphas;
    path.from_baseline = true;
    averaged_gradients(context_, labels, path, {{}, results_.path_pixel_gradient},
                       batching_.samples);
    baseline_logits(context_);
  }
}

}  // namespace vitsnna::explain
