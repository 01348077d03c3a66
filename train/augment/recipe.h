// What may happen to a crop, with which probability: the recipes of DINO and of the supervised
// stage. SPEC sections 4 and 5.
#pragma once

#include <vector>

#include "engine/images/image.h"

namespace vitsnna::train {

using engine::Extent;
using kernels::index_t;

/// Where a crop comes from.
enum class BoxKind {
  random,      ///< RandomResizedCrop: a share `scale_*` of the area, of an aspect in `ratio_*`
  short_side,  ///< the short side resized to that of the window (what is left of the other: half to
               ///< even), then the centre; where one side then falls short, the whole resized
  whole,       ///< the whole picture resized to the window
};

/// One crop of every image. Defaults: no randomness at all.
struct CropRecipe {
  Extent size;
  /// Of the window that the resized picture is seen through, left out at the bottom and the right.
  Extent left_out;
  BoxKind box = BoxKind::whole;
  double crop_pct = 1.;  ///< of short_side: the share of the resized short side that is kept
  double scale_least = 1., scale_most = 1.;
  double ratio_least = 3. / 4., ratio_most = 4. / 3.;
  double flip = 0.;
  double jitter = 0.;  ///< probability; then, in random order, each within 1 -+ its strength
  double brightness = 0., contrast = 0., saturation = 0., hue = 0.;
  double grayscale = 0.;
  double blur = 0., blur_least = .1, blur_most = 2.;  ///< probability, deviation in pixels
  double solarize = 0.;
  int solarize_threshold = 128;
};

struct DinoCrops {
  Extent global{224, 224}, local{96, 96};
  int locals = 8;
  double global_scale_least = .4, global_scale_most = 1.;
  double local_scale_least = .05, local_scale_most = .4;
};
/// Global 1, global 2, then the locals.
std::vector<CropRecipe> dino_recipe(const DinoCrops& crops = {});

/// The supervised stage: resized, flipped with probability `flip`. No random box: an action
/// depends on all that the camera saw.
CropRecipe supervised_recipe(Extent size, double flip = .5);
/// The same without chance, for validation: what explain::InputGeometry does by default with a
/// model of that input size and crop_pct. A square is the centre of the resized picture; any other
/// size takes the whole of it. What patches do not divide of `size` is left out.
CropRecipe evaluation_recipe(Extent size, double crop_pct = 1., index_t patch_size = 1);

/// The short side of a decoded picture below which the smallest box of some crop, at the mean
/// aspect, would have to be enlarged: what a scaled decoder may reduce to.
index_t least_short_side(const std::vector<CropRecipe>& recipes);

}  // namespace vitsnna::train
