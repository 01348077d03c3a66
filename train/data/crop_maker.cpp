// Pictures and parameters lie in one block of memory, each at a multiple of kAlignment.
#include "train/data/crop_maker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/error.h"

namespace vitsnna::train {
namespace {

using kernels::AugmentCrop;

constexpr index_t kAlignment = 64;

index_t aligned(index_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
index_t bytes_of(const Image& image) { return aligned(static_cast<index_t>(image.rgb.size())); }
index_t bytes_of(const std::vector<AugmentCrop>& crops) {
  return aligned(static_cast<index_t>(crops.size() * sizeof(AugmentCrop)));
}

/// Crops of one size, in the order in which the recipes name the sizes.
std::vector<CropGroup> groups_of(const std::vector<CropRecipe>& recipes) {
  std::vector<CropGroup> groups;
  for (std::size_t k = 0; k < recipes.size(); ++k) {
    if (recipes[k].size.height < 1 || recipes[k].size.width < 1) {
      throw Error(
          fmt::format("crop {}: {} x {} pixels", k, recipes[k].size.height, recipes[k].size.width));
    }
    const auto same = [&](const CropGroup& group) { return group.size == recipes[k].size; };
    auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found == groups.end()) found = groups.insert(groups.end(), {recipes[k].size, {}, {}});
    found->crops.push_back(k);
  }
  if (groups.empty()) throw Error("a loader without crops");
  return groups;
}

}  // namespace

CropMaker::CropMaker(const engine::Queue& like, const std::vector<CropRecipe>& recipes,
                     index_t batch, int sets, const PixelFormat& format)
    : queue_(like.device(), like.num_threads()),
      format_(format),
      groups_(groups_of(recipes)),
      outputs_(static_cast<std::size_t>(sets)),
      staging_(queue_.backend()),
      uploaded_(queue_.backend()) {
  for (std::vector<DeviceMemory>& set : outputs_) {
    for (const CropGroup& group : groups_) {
      set.emplace_back(queue_.backend());
      set.back().reserve(static_cast<index_t>(group.crops.size()) * batch * 3 * group.size.area() *
                         size_of(format_.dtype));
    }
  }
}

void CropMaker::stage(const std::vector<const Image*>& images,
                      std::vector<std::vector<AugmentCrop>>& crops) {
  std::vector<index_t> offsets;
  pictures_ = 0;
  for (const Image* image : images) {
    offsets.push_back(pictures_);
    pictures_ += bytes_of(*image);
  }
  staged_ = pictures_;
  for (std::vector<AugmentCrop>& group : crops) {
    for (std::size_t k = 0; k < group.size(); ++k) group[k].image = offsets[k % images.size()];
    staged_ += bytes_of(group);
  }
  staging_.reserve(staged_);
  std::uint8_t* to = staging_.data();
  for (const Image* image : images) {
    std::memcpy(to, image->rgb.data(), image->rgb.size());
    to += bytes_of(*image);
  }
  for (const std::vector<AugmentCrop>& group : crops) {
    std::memcpy(to, group.data(), group.size() * sizeof(AugmentCrop));
    to += bytes_of(group);
  }
}

/// By half again, as ReusedMemory.
void CropMaker::reserve_scratch(index_t bytes) {
  const index_t held = queue_.scratch_bytes();
  if (bytes > held) queue_.reserve_scratch(std::max(bytes, held + held / 2));
}

std::vector<CropGroup> CropMaker::make(const std::vector<const Image*>& images,
                                       std::vector<std::vector<AugmentCrop>>& crops) {
  if (!images.empty()) {  // a rank may have none in an epoch's last batch
    stage(images, crops);
    uploaded_.reserve(staged_);
    queue_.upload(uploaded_.data(), staging_.data(), staged_);
  }

  const kernels::Backend& backend = queue_.backend();
  const std::vector<DeviceMemory>& outputs = outputs_[next_];
  next_ = (next_ + 1) % outputs_.size();
  std::vector<CropGroup> made = groups_;
  index_t at = pictures_;
  for (std::size_t g = 0; g < made.size(); ++g) {
    const Extent size = made[g].size;
    kernels::Augment args;
    args.crops = static_cast<index_t>(crops[g].size());
    args.height = size.height;
    args.width = size.width;
    args.crop = reinterpret_cast<const AugmentCrop*>(uploaded_.data() + at);
    args.images = uploaded_.data();
    // By the pictures, not by the boxes drawn in them: pictures of one size ask for scratch once.
    for (const Image* image : images) {
      args.most_rows = std::max(args.most_rows, image->height);
      args.most_columns = std::max(args.most_columns, image->width);
    }
    std::copy(format_.mean.begin(), format_.mean.end(), args.mean);
    std::copy(format_.deviation.begin(), format_.deviation.end(), args.deviation);
    args.output = {outputs[g].data(), format_.dtype, 3 * size.area(), size.area()};
    if (args.crops > 0) {
      reserve_scratch(backend.augment.scratch_for(queue_.raw(), args));
      backend.augment(queue_.raw(), args);
    }
    at += bytes_of(crops[g]);
    made[g].pixels = {outputs[g].data(), format_.dtype, {args.crops, 3, size.height, size.width}};
  }
  queue_.synchronize();
  return made;
}

}  // namespace vitsnna::train
