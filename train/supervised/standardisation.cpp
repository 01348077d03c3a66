// Sums in double: a set has many rows.
#include "train/supervised/standardisation.h"

#include <cmath>

namespace vitsnna::train {
namespace {

/// weight[o, k] * scale[k], and bias[o] + sum_k weight[o, k] * shift[k].
Tensors changed(const Tensors& head, const std::vector<double>& scale,
                const std::vector<double>& shift) {
  std::vector<float> weight = head.at("head.weight").to_floats();
  std::vector<float> bias = head.at("head.bias").to_floats();
  const std::size_t width = scale.size();
  for (std::size_t label = 0; label < bias.size(); ++label) {
    double sum = static_cast<double>(bias[label]);
    for (std::size_t k = 0; k < width; ++k) {
      float& value = weight[label * width + k];
      sum += static_cast<double>(value) * shift[k];
      value = static_cast<float>(static_cast<double>(value) * scale[k]);
    }
    bias[label] = static_cast<float>(sum);
  }
  return {{"head.weight", engine::HostTensor::from_floats(head.at("head.weight").shape, weight)},
          {"head.bias", engine::HostTensor::from_floats(head.at("head.bias").shape, bias)}};
}

}  // namespace

Standardisation::Standardisation(const ImageFeatures& set) {
  const auto width = static_cast<std::size_t>(set.width);
  const auto items = static_cast<std::size_t>(set.items);
  for (std::size_t k = 0; k < width; ++k) {
    double sum = 0, squares = 0;
    for (std::size_t item = 0; item < items; ++item) {
      sum += static_cast<double>(set.features[item * width + k]);
    }
    const double mean = sum / static_cast<double>(items);
    for (std::size_t item = 0; item < items; ++item) {
      const double away = static_cast<double>(set.features[item * width + k]) - mean;
      squares += away * away;
    }
    const double deviation = std::sqrt(squares / static_cast<double>(items));
    mean_.push_back(mean);
    deviation_.push_back(deviation > 1e-6 * std::abs(mean) && deviation > 0 ? deviation : 1);
  }
}

void Standardisation::apply(ImageFeatures& set) const {
  for (std::size_t at = 0; at < set.features.size(); ++at) {
    const std::size_t k = at % mean_.size();
    set.features[at] =
        static_cast<float>((static_cast<double>(set.features[at]) - mean_[k]) / deviation_[k]);
  }
}

Tensors Standardisation::to_standardised(const Tensors& head) const {
  return changed(head, deviation_, mean_);
}

Tensors Standardisation::from_standardised(const Tensors& head) const {
  std::vector<double> scale, shift;
  for (std::size_t k = 0; k < mean_.size(); ++k) {
    scale.push_back(1 / deviation_[k]);
    shift.push_back(-mean_[k] / deviation_[k]);
  }
  return changed(head, scale, shift);
}

}  // namespace vitsnna::train
