// The recipes' numbers, and what they ask of a decoder.
#include "train/augment/recipe.h"

#include <algorithm>
#include <cmath>

namespace vitsnna::train {

std::vector<CropRecipe> dino_recipe(const DinoCrops& crops) {
  CropRecipe any;
  any.box = BoxKind::random;
  any.flip = .5;
  any.jitter = .8;
  any.brightness = any.contrast = .4;
  any.saturation = .2;
  any.hue = .1;
  any.grayscale = .2;
  CropRecipe first = any, second = any, local = any;
  first.size = second.size = crops.global;
  first.scale_least = second.scale_least = crops.global_scale_least;
  first.scale_most = second.scale_most = crops.global_scale_most;
  first.blur = 1.;
  second.blur = .1;
  second.solarize = .2;
  local.size = crops.local;
  local.scale_least = crops.local_scale_least;
  local.scale_most = crops.local_scale_most;
  local.blur = .5;
  std::vector<CropRecipe> recipes{first, second};
  recipes.insert(recipes.end(), static_cast<std::size_t>(crops.locals), local);
  return recipes;
}

CropRecipe supervised_recipe(Extent size, double flip) {
  CropRecipe recipe = evaluation_recipe(size);
  recipe.flip = flip;
  return recipe;
}

CropRecipe evaluation_recipe(Extent size, double crop_pct, index_t patch_size) {
  CropRecipe recipe;
  recipe.left_out = {size.height % patch_size, size.width % patch_size};
  recipe.size = {size.height - recipe.left_out.height, size.width - recipe.left_out.width};
  recipe.crop_pct = crop_pct;
  recipe.box = size.height == size.width ? BoxKind::short_side : BoxKind::whole;
  return recipe;
}

index_t least_short_side(const std::vector<CropRecipe>& recipes) {
  double least = 1.;
  for (const CropRecipe& recipe : recipes) {
    const auto longest = static_cast<double>(std::max(recipe.size.height, recipe.size.width));
    const auto shortest = static_cast<double>(std::min(recipe.size.height, recipe.size.width));
    if (recipe.box == BoxKind::random) {
      least = std::max(least, longest / std::sqrt(recipe.scale_least));
    } else {
      least = std::max(least, recipe.box == BoxKind::whole ? longest : shortest / recipe.crop_pct);
    }
  }
  return static_cast<index_t>(std::ceil(least));
}

}  // namespace vitsnna::train
