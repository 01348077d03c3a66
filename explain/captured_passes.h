// The passes of explanations seen before, as graphs. Private to explain/.
#pragma once

#include "engine/graph_cache.h"
#include "explain/passes.h"

namespace vitsnna::explain {

struct CapturedKey {
  enum class Part : std::uint8_t { whole, forward, after_forward };
  Part part = Part::whole;
  ExplanationShape shape;
  Batching batching;
  index_t labels = 0;
  double noise_level = 0.;
  std::uint64_t seed = 0;
  const void* scratch = nullptr;
  bool operator==(const CapturedKey&) const = default;
};

using CapturedPasses = engine::GraphCache<CapturedKey>;

}  // namespace vitsnna::explain
