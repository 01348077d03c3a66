// Binary cross-entropy of a few numbers an image, in double.
#include <cmath>

#include "kernels/cpu/ops.h"

namespace vitsnna::kernels::cpu {
namespace {

/// ln(1 + e^x), without overflow.
double softplus(double x) { return std::max(x, 0.) + std::log1p(std::exp(-std::abs(x))); }

double sigmoid(double x) { return 1. / (1. + std::exp(-x)); }

}  // namespace

void bce_with_logits(Queue&, const BceWithLogits& a) {
  const double weight = 1. / static_cast<double>(a.global_items * a.classes);
  double loss = 0;
  for (index_t item = 0; item < a.items; ++item) {
    for (index_t c = 0; c < a.classes; ++c) {
      const index_t at = item * a.classes + c;
      const auto x = static_cast<double>(a.logits[at]), y = static_cast<double>(a.targets[at]);
      const double positive =
          y * (a.positive_weights ? static_cast<double>(a.positive_weights[c]) : 1.);
      loss += positive * softplus(-x) + (1. - y) * softplus(x);
      a.gradient[at] =
          static_cast<float>(weight * ((1. - y) * sigmoid(x) - positive * sigmoid(-x)));
    }
  }
  *a.loss += static_cast<float>(weight * loss);
}

}  // namespace vitsnna::kernels::cpu
