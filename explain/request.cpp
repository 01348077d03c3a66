// Checks and conversions of a request.
#include "explain/request.h"

#include <algorithm>
#include <string>

#include "kernels/error.h"

namespace vitsnna::explain {

namespace {

/// How many labels a selection may turn into, before the logits are known.
index_t most_labels(const model::Vit& vit, const LabelSelection& selection) {
  switch (selection.kind) {
    case LabelSelection::Kind::indices:
      return static_cast<index_t>(selection.indices.size());
    case LabelSelection::Kind::all:
      return vit.config().num_classes;
    case LabelSelection::Kind::predicted:
      break;
  }
  return vit.metadata().activation == model::Activation::softmax ? 1 : vit.config().num_classes;
}

}  // namespace

void check_request(const model::Vit& vit, const ImageView& image, const ExplainRequest& request) {
  const model::VitConfig& config = vit.config();
  if (!config.has_head()) {
    throw Error("model: a backbone without a head has no logits to explain; give it one");
  }
  const auto at_least = [](const char* what, index_t value, index_t least) {
    if (value < least) {
      throw Error(std::string(what) + ": " + std::to_string(value) + " found, at least " +
                  std::to_string(least) + " wanted");
    }
  };
  at_least("methods", static_cast<index_t>(request.methods.size()), 1);
  at_least("samples", request.samples, 1);
  at_least("ig steps", request.integration_steps, 1);
  at_least("memory limit", request.memory_limit, 0);
  at_least("image height", image.height, config.patch_size);
  at_least("image width", image.width, config.patch_size);
  if (!(request.noise_level >= 0.)) {
    throw Error("noise level: " + std::to_string(request.noise_level) + " found, 0 or more wanted");
  }
  if (request.baseline == Baseline::custom && !request.baseline_image) {
    throw Error("baseline: a custom one was asked for, none was given");
  }
  if (request.labels.kind == LabelSelection::Kind::indices) {
    at_least("labels", static_cast<index_t>(request.labels.indices.size()), 1);
    for (const index_t label : request.labels.indices) {
      if (label < 0 || label >= config.num_classes) {
        throw Error("label " + std::to_string(label) + ": the model has labels 0 to " +
                    std::to_string(config.num_classes - 1));
      }
    }
  }
}

ExplanationShape shape_of(const model::Vit& vit, const ImageView& image,
                          const ExplainRequest& request) {
  ExplanationShape shape;
  shape.height = image.height;
  shape.width = image.width;
  shape.needs = needs_of(request.methods, request.formulation);
  shape.labels = most_labels(vit, request.labels);
  shape.samples = request.samples;
  shape.integration_steps = request.integration_steps;
  shape.from_baseline = request.baseline != Baseline::zero;
  shape.given_noise = request.noise != nullptr;
  shape.memory_limit = request.memory_limit;
  return shape;
}

std::vector<float> baseline_of(const model::VitConfig& config, const ImageView& image,
                               const ExplainRequest& request) {
  const auto plane = static_cast<std::size_t>(image.height * image.width);
  const auto channels = static_cast<std::size_t>(config.channels);
  switch (request.baseline) {
    case Baseline::zero:
      return {};
    case Baseline::custom:
      return {request.baseline_image, request.baseline_image + channels * plane};
    case Baseline::mean:
      break;
  }
  std::vector<float> baseline(channels * plane, 0.f);
  if (!image.pixels) return baseline;
  for (std::size_t channel = 0; channel < channels; ++channel) {
    double sum = 0;
    for (std::size_t pixel = 0; pixel < plane; ++pixel) {
      sum += static_cast<double>(image.pixels[channel * plane + pixel]);
    }
    std::fill_n(baseline.begin() + static_cast<std::ptrdiff_t>(channel * plane), plane,
                static_cast<float>(sum / static_cast<double>(plane)));
  }
  return baseline;
}

std::vector<index_t> resolve_labels(const model::Vit& vit, const LabelSelection& selection,
                                    std::span<const float> logits) {
  switch (selection.kind) {
    case LabelSelection::Kind::indices:
      return selection.indices;
    case LabelSelection::Kind::predicted:
      return predicted_labels(logits, vit.metadata());
    case LabelSelection::Kind::all:
      break;
  }
  std::vector<index_t> labels(static_cast<std::size_t>(vit.config().num_classes));
  for (std::size_t label = 0; label < labels.size(); ++label) {
    labels[label] = static_cast<index_t>(label);
  }
  return labels;
}

}  // namespace vitsnna::explain
