// The sizes at which ops are benchmarked: those of ViT-S/8 explaining pictures.
#pragma once

#include <array>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::bench {

using kernels::index_t;

struct Sizes {
  index_t heads = 6, head_dim = 64;
  std::vector<index_t> tokens;            ///< of linear layers and value norms
  std::vector<index_t> attention_tokens;  ///< of attention and relevance
  std::vector<index_t> items;             ///< images at a time: the clean one, the noisy samples
  std::vector<std::array<index_t, 2>> pictures;     ///< height, width
  std::array<index_t, 2> photograph = {720, 1280};  ///< what is resized to them
  index_t training_images = 2;                      ///< of a step of DINO, each as ten crops
  index_t out_dim = 65536;                          ///< of DINO's head
  index_t bottleneck = 256;                         ///< of DINO's head
  index_t parameters = 22'000'000;                  ///< of a model that is trained
  index_t width() const { return heads * head_dim; }
};

/// 224x224 and 360x640, one image: each is seconds of a processor already.
inline Sizes processor_sizes() {
  Sizes sizes;
  sizes.tokens = sizes.attention_tokens = {785, 3601};
  sizes.items = {1};
  sizes.pictures = {{224, 224}, {360, 640}};
  return sizes;
}

/// The same with the five samples of SNNA, and attention at ViT-B/16's and DINOv2's token counts.
inline Sizes gpu_sizes() {
  Sizes sizes = processor_sizes();
  sizes.attention_tokens = {197, 785, 1370, 3601};
  sizes.items = {1, 5};
  sizes.training_images = 16;
  return sizes;
}

/// Every benchmark in moments: shows that it runs, not how fast.
inline Sizes smoke_sizes() {
  Sizes sizes;
  sizes.heads = 2;
  sizes.tokens = sizes.attention_tokens = {7};
  sizes.items = {1, 2};
  sizes.pictures = {{16, 24}};
  sizes.photograph = {32, 40};
  sizes.out_dim = 40;
  sizes.bottleneck = 8;
  sizes.parameters = 9000;
  return sizes;
}

}  // namespace vitsnna::bench
