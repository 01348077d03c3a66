// Host to device, before the passes.
#include "explain/pass_inputs.h"

namespace vitsnna::explain {

namespace {

using engine::DType;

std::vector<float> linspace(index_t steps) {
  std::vector<float> alphas(static_cast<std::size_t>(steps), 0.f);
  for (std::size_t step = 1; step < alphas.size(); ++step) {
    alphas[step] = static_cast<float>(static_cast<double>(step) / static_cast<double>(steps - 1));
  }
  return alphas;
}

std::vector<float> midpoints(index_t steps) {
  std::vector<float> alphas(static_cast<std::size_t>(steps));
  for (std::size_t step = 0; step < alphas.size(); ++step) {
    alphas[step] =
        static_cast<float>((static_cast<double>(step) + .5) / static_cast<double>(steps));
  }
  return alphas;
}

void upload_values(engine::Queue& queue, const Tensor& tensor, const std::vector<float>& values) {
  queue.upload(tensor.data, values.data(), tensor.bytes());
  queue.synchronize();  // before `values` goes
}

}  // namespace

void PassInputs::allocate(engine::Arena& arena, const model::VitConfig& config,
                          const ExplanationShape& shape) {
  const engine::Shape picture{config.channels, shape.height, shape.width};
  const index_t tokens = 1 + shape.height / config.patch_size * (shape.width / config.patch_size);
  image = arena.allocate(DType::f32, picture);
  if (shape.from_baseline) baseline = arena.allocate(DType::f32, picture);
  unit_labels = arena.allocate(DType::f32, {shape.labels, config.num_classes});
  first_token = arena.allocate(DType::f32, {1, tokens});
  const engine::Shape steps{shape.integration_steps};
  if (shape.needs.scaled_last_gradient) scaled_alphas = arena.allocate(DType::f32, steps);
  if (shape.needs.path_pixel_gradient) path_alphas = arena.allocate(DType::f32, steps);
}

void PassInputs::upload(engine::Queue& queue, const float* pixels,
                        std::span<const float> baseline_pixels) const {
  queue.upload(image.data, pixels, image.bytes());
  if (baseline) queue.upload(baseline.data, baseline_pixels.data(), baseline.bytes());
  std::vector<float> start(static_cast<std::size_t>(first_token.shape.elements()), 0.f);
  start.front() = 1.f;
  upload_values(queue, first_token, start);
  if (scaled_alphas) upload_values(queue, scaled_alphas, linspace(scaled_alphas.shape[0]));
  if (path_alphas) upload_values(queue, path_alphas, midpoints(path_alphas.shape[0]));
}

void PassInputs::upload_labels(engine::Queue& queue, std::span<const index_t> labels) const {
  std::vector<float> units(static_cast<std::size_t>(unit_labels.shape.elements()), 0.f);
  const index_t classes = unit_labels.shape[1];
  for (std::size_t label = 0; label < labels.size(); ++label) {
    units[label * static_cast<std::size_t>(classes) + static_cast<std::size_t>(labels[label])] =
        1.f;
  }
  upload_values(queue, unit_labels, units);
}

}  // namespace vitsnna::explain
