// Draws crops as torchvision's transforms do, from counters instead of a generator's state.
#include "train/augment/parameters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "kernels/random.h"

namespace vitsnna::train {
namespace {

/// Which block of four words serves what.
enum Draw : std::uint32_t { kDecisions = 0, kMore = 1, kOrder = 2, kBoxes = 3 };
constexpr std::uint32_t kBlocksOfACrop = 64;

class Words {
 public:
  Words(const CropKey& key, std::uint32_t draw)
      : words_(kernels::philox4x32_10(
            {draw + kBlocksOfACrop * key.crop, key.epoch, key.image,
             static_cast<std::uint32_t>(kernels::RandomStream::augmentation)},
            {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)})) {}

  /// Uniform in [0, 1), in [least, most), and of 0 .. count - 1.
  double unit(std::size_t word) const { return (words_[word] >> 8) * 0x1p-24; }
  double between(std::size_t word, double least, double most) const {
    return least + (most - least) * unit(word);
  }
  index_t below(std::size_t word, index_t count) const {
    return static_cast<index_t>(
        static_cast<std::uint64_t>(words_[word]) * static_cast<std::uint64_t>(count) >> 32);
  }

 private:
  std::array<std::uint32_t, 4> words_;
};

/// Half to even, as Python rounds.
index_t rounded(double value) { return static_cast<index_t>(std::nearbyint(value)); }

struct Box {
  index_t top = 0, left = 0, height = 0, width = 0;
};

/// torchvision's RandomResizedCrop.get_params: ten attempts, then the centre.
Box random_box(const CropRecipe& recipe, Extent picture, const CropKey& key) {
  const double area = static_cast<double>(picture.height) * static_cast<double>(picture.width);
  for (std::uint32_t attempt = 0; attempt < 10; ++attempt) {
    const Words words(key, kBoxes + attempt);
    const double target = area * words.between(0, recipe.scale_least, recipe.scale_most);
    const double ratio =
        std::exp(words.between(1, std::log(recipe.ratio_least), std::log(recipe.ratio_most)));
    const index_t width = rounded(std::sqrt(target * ratio));
    const index_t height = rounded(std::sqrt(target / ratio));
    if (width < 1 || height < 1 || width > picture.width || height > picture.height) continue;
    return {words.below(2, picture.height - height + 1), words.below(3, picture.width - width + 1),
            height, width};
  }
  const double ratio = static_cast<double>(picture.width) / static_cast<double>(picture.height);
  Box box{0, 0, picture.height, picture.width};
  if (ratio < recipe.ratio_least) {
    box.height = rounded(static_cast<double>(box.width) / recipe.ratio_least);
  } else if (ratio > recipe.ratio_most) {
    box.width = rounded(static_cast<double>(box.height) * recipe.ratio_most);
  }
  box.height = std::clamp<index_t>(box.height, 1, picture.height);
  box.width = std::clamp<index_t>(box.width, 1, picture.width);
  box.top = (picture.height - box.height) / 2;
  box.left = (picture.width - box.width) / 2;
  return box;
}

/// What the whole picture is resized to, so that its short side is that of `size` / `crop_pct`.
Extent resized_by_short_side(Extent picture, Extent size, double crop_pct) {
  const index_t wanted = rounded(static_cast<double>(std::min(size.height, size.width)) / crop_pct);
  const index_t shortest = std::min(picture.height, picture.width);
  const auto scaled = [&](index_t side) {
    if (side == shortest) return wanted;
    return rounded(static_cast<double>(side) * static_cast<double>(wanted) /
                   static_cast<double>(shortest));
  };
  const Extent resized{scaled(picture.height), scaled(picture.width)};
  // A picture that is too square, or on its side, for the window is stretched to it.
  return resized.height >= size.height && resized.width >= size.width ? resized : size;
}

void place_box(const CropRecipe& recipe, Extent picture, const CropKey& key,
               kernels::AugmentCrop& crop) {
  Box box{0, 0, picture.height, picture.width};
  const Extent window{recipe.size.height + recipe.left_out.height,
                      recipe.size.width + recipe.left_out.width};
  Extent resized = window;
  if (recipe.box == BoxKind::random) box = random_box(recipe, picture, key);
  if (recipe.box == BoxKind::short_side) {
    resized = resized_by_short_side(picture, window, recipe.crop_pct);
  }
  const auto narrow = [](index_t value) { return static_cast<std::int32_t>(value); };
  crop.image_width = narrow(picture.width);
  crop.top = narrow(box.top);
  crop.left = narrow(box.left);
  crop.height = narrow(box.height);
  crop.width = narrow(box.width);
  crop.resized_height = narrow(resized.height);
  crop.resized_width = narrow(resized.width);
  crop.window_top = narrow((resized.height - window.height) / 2);
  crop.window_left = narrow((resized.width - window.width) / 2);
}

void jitter(const CropRecipe& recipe, const CropKey& key, kernels::AugmentCrop& crop) {
  using kernels::ColorKind;
  const Words more(key, kMore), last(key, kOrder);
  const auto factor = [](const Words& words, std::size_t word, double strength) {
    return static_cast<float>(words.between(word, std::max(0., 1. - strength), 1. + strength));
  };
  kernels::ColorStep steps[4];
  if (recipe.brightness > 0.) {
    steps[0] = {ColorKind::brightness, factor(more, 1, recipe.brightness)};
  }
  if (recipe.contrast > 0.) steps[1] = {ColorKind::contrast, factor(more, 2, recipe.contrast)};
  if (recipe.saturation > 0.) {
    steps[2] = {ColorKind::saturation, factor(more, 3, recipe.saturation)};
  }
  if (recipe.hue > 0.) steps[3] = kernels::hue_step(last.between(0, -recipe.hue, recipe.hue));
  // One of the 24 orders: its digits say which of the remaining steps comes next.
  index_t order = last.below(1, 24);
  for (index_t left = 4; left > 0; --left) {
    const auto next = static_cast<std::size_t>(order % left);
    order /= left;
    crop.color[4 - left] = steps[next];
    std::copy(steps + next + 1, steps + left, steps + next);
  }
}

}  // namespace

kernels::AugmentCrop draw_crop(const CropRecipe& recipe, Extent picture, const CropKey& key) {
  kernels::AugmentCrop crop;
  place_box(recipe, picture, key, crop);
  const Words decisions(key, kDecisions), more(key, kMore), last(key, kOrder);
  crop.flip = decisions.unit(0) < recipe.flip;
  if (decisions.unit(1) < recipe.jitter) jitter(recipe, key, crop);
  crop.grayscale = decisions.unit(2) < recipe.grayscale;
  if (decisions.unit(3) < recipe.blur) {
    crop.blur =
        kernels::box_blur(static_cast<float>(last.between(2, recipe.blur_least, recipe.blur_most)));
  }
  if (more.unit(0) < recipe.solarize) crop.solarize = recipe.solarize_threshold;
  return crop;
}

}  // namespace vitsnna::train
