// The recipe of the supervised stage. SPEC section 5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/images/image.h"
#include "train/data/image_cache.h"
#include "train/evaluation/features.h"

namespace vitsnna::train {

using kernels::index_t;

enum class Optimizer : std::uint8_t { sgd, adamw };

struct FinetuneOptions {
  bool whole_model = false;  ///< false: the backbone stands still, its features are computed once
  index_t head_blocks = 4;   ///< last blocks whose CLS the head reads: default_head_blocks()
  engine::Extent size{360, 640};  ///< of images: evaluation_recipe()
  bool standardise = false;       ///< of a frozen backbone: features to mean 0 and deviation 1
  index_t epochs = 100;
  index_t batch = 16;           ///< images of a step, of all ranks together
  double learning_rate = .001;  ///< of a batch of 256; a batch of another size scales it
  double final_learning_rate = 0;
  index_t warmup_epochs = 0;
  double weight_decay = 0;
  Optimizer optimizer = Optimizer::sgd;
  float momentum = .9f;  ///< of SGD
  float clip = 0.f;      ///< greatest L2 norm of a tensor's gradient; 0: any
  double layer_decay =
      1;             ///< with whole_model: of the learning rate, from a layer to the one below
  double flip = .5;  ///< with whole_model: probability; left and right change places with it
  std::vector<float> positive_weights;  ///< by label; empty: 1
  std::uint64_t seed = 0;               ///< of a new head and of the order of images
  kernels::DType precision = kernels::DType::f32;
  int decode_threads = 2;
  double max_bad = .01;
  CacheKind cache = CacheKind::none;
  std::filesystem::path cache_folder;
  std::function<void(const std::string&)> report_bad;
  /// Of passes over a set for its features or for validation: FeatureOptions.
  std::function<void(index_t done, index_t all)> progress;
  std::function<bool()> stop;
};

/// How a set is passed over with these options.
FeatureOptions feature_options(const FinetuneOptions& options);

}  // namespace vitsnna::train
