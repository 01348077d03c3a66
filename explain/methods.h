// The explanation methods by name, and what a request may say. SPEC sections 2 and 9.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::explain {

using kernels::index_t;

enum class Method : std::uint8_t {
  // With the paper's and the released code's formulation (SPEC section 2, first table).
  rawatt,
  attgrad,
  attin,
  genericatt,
  attig,
  snna,
  // One formulation only.
  rollout,
  gradient,
  attsg,
  inputgrad,
  ig,
  smoothgrad,
};

/// Every method, in the order in which `--method all` computes and shows them.
std::span<const Method> all_methods();
std::string_view name_of(Method method);
/// Comma separated names, or "all". Throws Error naming the unknown method and the known ones.
std::vector<Method> parse_methods(std::string_view text);

enum class Formulation : std::uint8_t { paper, authors };
std::string_view name_of(Formulation formulation);

/// Where the path of integrated gradients starts, on the normalised tensor.
enum class Baseline : std::uint8_t {
  zero,    ///< zeros
  mean,    ///< the image's own channel means
  custom,  ///< ExplainRequest::baseline_image (also `black`, which is -mean/deviation)
};

/// Which logits are explained.
struct LabelSelection {
  enum class Kind : std::uint8_t { indices, all, predicted };
  Kind kind = Kind::predicted;
  std::vector<index_t> indices;  ///< with `indices`, each in [0, classes)
};

}  // namespace vitsnna::explain
