// What a backbone makes of a set of images: the CLS features that nearest neighbours vote with and
// that a linear head is trained on. SPEC sections 1, 4 and 5.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "model/vit.h"
#include "train/data/dataset.h"
#include "train/data/image_cache.h"
#include "train/parallel/communicator.h"

namespace vitsnna::train {

struct FeatureOptions {
  engine::Extent size;   ///< evaluation_recipe(), with the model's patch size
  double crop_pct = 1.;  ///< of a square size
  index_t batch = 16;    ///< images of a pass: memory follows it, no bit of the result does
  int decode_threads = 2;
  double max_bad = .01;  ///< of the set's images; more that are unreadable are an Error
  std::function<void(const std::string&)> report_bad;
  /// Called after each pass with the images done so far, of all there are.
  std::function<void(index_t done, index_t all)> progress;
  /// Asked before each pass; where it says so on some rank, all of them throw Stopped.
  std::function<bool()> stop;
};

/// No failure: what was asked to stop has stopped.
struct Stopped : std::exception {
  const char* what() const noexcept override { return "stopped on request"; }
};

/// Rows are the readable images, in the order of the set.
struct ImageFeatures {
  index_t items = 0;
  index_t width = 0;             ///< head_blocks * embed_dim
  index_t labels = 0;            ///< 0: the set has none
  index_t classes = 0;           ///< of the model; 0: it has no head
  std::vector<index_t> indices;  ///< (items), in the set
  std::vector<float> features;  ///< (items, width): LayerNormed CLS of the last blocks, older first
  std::vector<float> logits;    ///< (items, classes)
  std::vector<float> targets;   ///< (items, labels)
};

/// Ranks share the images; every rank gets all features, with the bits that one rank alone would
/// get. Throws Error naming the size that does not fit the model, or what the loader met.
ImageFeatures cls_features(engine::Queue& queue, Communicator& communicator, const model::Vit& vit,
                           const Dataset& dataset, const ImageReader& reader,
                           const FeatureOptions& options);

}  // namespace vitsnna::train
