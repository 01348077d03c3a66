// What the passes of an explanation read, at fixed device addresses: written before they run, so
// that the passes themselves touch the device alone and can be captured and replayed. Private to
// explain/.
#pragma once

#include <span>
#include <vector>

#include "engine/arena.h"
#include "engine/queue.h"
#include "explain/ingredients.h"

namespace vitsnna::explain {

using engine::Tensor;

/// The extents that decide how an explanation is planned: two of the same shape take the same
/// memory and the same launches.
struct ExplanationShape {
  index_t height = 0, width = 0;
  Needs needs;
  index_t labels = 1;  ///< as many as the selection may turn into
  index_t samples = 0, integration_steps = 0;
  bool from_baseline = false;  ///< the path starts at a baseline other than zeros
  bool given_noise = false;    ///< noise replayed from a file
  index_t memory_limit = 0;
  bool operator==(const ExplanationShape&) const = default;
};

struct PassInputs {
  Tensor image;          ///< (channels, height, width)
  Tensor baseline;       ///< the same, or none: zeros
  Tensor unit_labels;    ///< (labels, classes): row g is the unit vector of label g
  Tensor first_token;    ///< (1, tokens): e_0, where every chain starts
  Tensor scaled_alphas;  ///< (steps): linspace(0, 1), or none
  Tensor path_alphas;    ///< (steps): midpoints, or none

  void allocate(engine::Arena& arena, const model::VitConfig& config,
                const ExplanationShape& shape);
  /// Everything but the labels. `baseline` is as large as the image, or empty.
  void upload(engine::Queue& queue, const float* pixels,
              std::span<const float> baseline_pixels) const;
  void upload_labels(engine::Queue& queue, std::span<const index_t> labels) const;
};

}  // namespace vitsnna::explain
