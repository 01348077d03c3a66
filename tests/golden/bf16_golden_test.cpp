// bf16 products against fp32 on a real model: the order of the patches is what users read off a
// map.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <numeric>

#include "engine/io/safetensors.h"
#include "explain/explainer.h"
#include "model/checkpoint.h"
#include "nlohmann/json.hpp"
#include "tests/support/relative_error.h"
#include "tests/support/shared_path.h"
#include "tests/support/test_device.h"

namespace vitsnna {
namespace {

/// Spearman's rank correlation of two maps without ties.
double rank_correlation(std::span<const float> a, std::span<const float> b) {
  const auto ranks = [](std::span<const float> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t i, std::size_t j) { return values[i] < values[j]; });
    std::vector<double> rank(values.size());
    for (std::size_t position = 0; position < order.size(); ++position) {
      rank[order[position]] = static_cast<double>(position);
    }
    return rank;
  };
  const std::vector<double> first = ranks(a);
  const std::vector<double> second = ranks(b);
  const auto n = static_cast<double>(a.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += (first[i] - second[i]) * (first[i] - second[i]);
  }
  return 1. - 6. * sum / (n * (n * n - 1.));
}

explain::Explanation explain_in(kernels::DType precision, const model::Checkpoint& checkpoint,
                                const explain::ImageView& view,
                                const explain::ExplainRequest& request) {
  engine::Queue queue(test::test_device(), 2);
  const model::Vit vit(queue, checkpoint.config, checkpoint.metadata, checkpoint.tensors,
                       precision);
  return explain::Explainer(vit, queue).explain(view, request);
}

TEST(Bf16Golden, RanksPatchesAsFp32Does) {
  VITSNNA_SHARED_OR_SKIP(golden_path, "golden/vit_tiny_real.safetensors");
  VITSNNA_SHARED_OR_SKIP(weights_path, "data/vit_tiny/vit_tiny_patch16_224.safetensors");
  const engine::TensorFile golden = engine::read_safetensors(golden_path.string());
  const model::Checkpoint checkpoint = model::load_checkpoint(weights_path.string());
  const auto labels = nlohmann::json::parse(golden.metadata.at("labels"));
  double lowest = 1.;
  double worst_logits = 0.;
  for (const auto& [picture, indices] : labels.items()) {
    const engine::HostTensor& image = golden.at(picture + "/in/image");
    const std::vector<float> pixels = image.to_floats();
    const std::vector<float> noise = golden.at(picture + "/in/noise").to_floats();
    explain::ExplainRequest request;
    request.labels = {explain::LabelSelection::Kind::indices,
                      indices.get<std::vector<kernels::index_t>>()};
    request.noise = noise.data();
    const explain::ImageView view{pixels.data(), image.shape[2], image.shape[3]};
    const explain::Explanation full = explain_in(kernels::DType::f32, checkpoint, view, request);
    const explain::Explanation half = explain_in(kernels::DType::bf16, checkpoint, view, request);
    // Logits: an operand rounded to 8 bits of mantissa is off by at most 2^-9; the errors of 12
    // blocks of products add like a random walk, well inside twelve times one rounding.
    const double error = test::relative_error(half.logits, full.logits);
    worst_logits = std::max(worst_logits, error);
    EXPECT_LT(error, 12. * 0x1p-9) << picture;
    for (std::size_t label = 0; label < full.labels.size(); ++label) {
      lowest = std::min(lowest, rank_correlation(half.map(label, 0), full.map(label, 0)));
    }
  }
  std::cout << "lowest rank correlation " << lowest << ", worst logits error " << worst_logits
            << "\n";
  EXPECT_GT(lowest, .99);
}

}  // namespace
}  // namespace vitsnna
