// Takes a batch's images from the stream, draws their crops, and runs the augmentation op.
#include "train/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/error.h"
#include "train/augment/mirrored_labels.h"
#include "train/augment/parameters.h"
#include "train/data/staging.h"

namespace vitsnna::train {
namespace {

constexpr index_t kAlignment = 64;

index_t aligned(index_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

Sampler sampler_of(const Dataset& dataset, const LoaderOptions& options) {
  Sampler sampler;
  sampler.count = dataset.size();
  sampler.batch = options.batch;
  sampler.parts = options.parts;
  sampler.rank = options.rank;
  sampler.ranks = options.ranks;
  sampler.shuffle = options.shuffle;
  sampler.drop_last = options.drop_last;
  sampler.seed = options.seed;
  check(sampler);
  return sampler;
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

/// Memory that every batch uses again. Pictures and parameters go up in one copy from staging, of
/// which there are two: one is filled while the device may still be reading the other.
struct Loader::Buffers {
  std::vector<CropGroup> groups;
  std::vector<DeviceMemory> outputs;  ///< one a group
  DeviceMemory uploaded;
  HostMemory staging[2];
  std::vector<std::vector<kernels::AugmentCrop>> crops;  ///< one a group

  Buffers(const LoaderOptions& options, const kernels::Backend& backend)
      : groups(groups_of(options.crops)),
        uploaded(backend),
        staging{HostMemory(backend), HostMemory(backend)} {
    for (const CropGroup& group : groups) {
      outputs.emplace_back(backend);
      outputs.back().reserve(static_cast<index_t>(group.crops.size()) * options.batch * 3 *
                             group.size.area() * size_of(options.dtype));
    }
    crops.resize(groups.size());
  }
};

Loader::Loader(const Dataset& dataset, LoaderOptions options, ImageReader reader,
               engine::Queue& queue)
    : dataset_(dataset),
      options_(std::move(options)),
      queue_(queue),
      sampler_(sampler_of(dataset, options_)),
      cache_(dataset, std::move(reader), options_.least_short_side, options_.cache,
             options_.cache_folder, options_.cache_bytes),
      mirrored_(mirrored_labels(dataset.label_names)),
      buffers_(std::make_unique<Buffers>(options_, queue.backend())) {
  if (dataset.size() > index_t{0xffffffff}) {
    throw Error(fmt::format("a data set of {} images, at most 2^32 - 1 wanted", dataset.size()));
  }
}

Loader::~Loader() = default;

void Loader::seek(index_t position) {
  if (position < 0) throw Error(fmt::format("loader position {}, 0 or more wanted", position));
  if (stream_) earlier_stall_ += stream_->waited_seconds();
  stream_.reset();
  position_ = position;
}

LoaderStatistics Loader::statistics() const {
  return {earlier_stall_ + (stream_ ? stream_->waited_seconds() : 0.), delivered_,
          static_cast<index_t>(bad_.size()), cache_.use()};
}

/// .29 of 100 images are 29, though .29 * 100 is less.
index_t Loader::most_bad() const {
  return static_cast<index_t>(
      std::floor(options_.max_bad * static_cast<double>(dataset_.size()) + 1e-9));
}

void Loader::note_bad(const StreamedImage& image) {
  for (const BadImage& bad : image.bad) {
    if (bad_.insert(bad.index).second && options_.report) options_.report(bad.reason);
  }
  const auto bad = static_cast<index_t>(bad_.size());
  if (bad > most_bad()) {
    throw Error(
        fmt::format("{} of {} images are unreadable, --max-bad allows {} ({:.3g}%); the "
                    "last: {}",
                    bad, dataset_.size(), most_bad(), 100. * options_.max_bad,
                    image.bad.empty() ? "" : image.bad.back().reason));
  }
  if (!image.image && !image.bad.empty()) {
    throw Error(fmt::format("{}: none of {} images is readable; the last: {}", dataset_.path,
                            dataset_.size(), image.bad.back().reason));
  }
}

std::vector<StreamedImage> Loader::take_images() {
  if (!stream_) {
    StreamOptions options;
    options.threads = options_.threads;
    options.ahead = options_.prefetch > 0 ? options_.prefetch : 2 * options_.batch;
    options.most_bad = most_bad();
    options.first_step = position_;
    stream_ = std::make_unique<ImageStream>(
        sampler_, [this](index_t index) { return cache_.get(index); }, options);
  }
  std::vector<StreamedImage> images;
  for (index_t slot = 0; slot < options_.batch; ++slot) {
    StreamedImage next = stream_->next();
    note_bad(next);
    if (next.image) images.push_back(std::move(next));
  }
  for (const std::string& notice : cache_.take_notices()) {
    if (options_.report) options_.report(notice);
  }
  return images;
}

void Loader::fill(Batch& batch, const std::vector<StreamedImage>& images) {
  Buffers& buffers = *buffers_;
  const auto labels = static_cast<std::size_t>(dataset_.label_count());
  batch.labels.resize(options_.crops.size() * images.size() * labels);
  for (const StreamedImage& image : images) batch.indices.push_back(image.index);
  for (std::size_t g = 0; g < buffers.groups.size(); ++g) {
    buffers.crops[g].clear();
    for (const std::size_t crop : buffers.groups[g].crops) {
      index_t offset = 0;
      for (std::size_t i = 0; i < images.size(); ++i) {
        const CropKey key{options_.seed, static_cast<std::uint32_t>(images[i].index), batch.epoch,
                          static_cast<std::uint32_t>(crop)};
        kernels::AugmentCrop drawn =
            draw_crop(options_.crops[crop], images[i].image->extent(), key);
        drawn.image = offset;
        offset += aligned(static_cast<index_t>(images[i].image->rgb.size()));
        float* to = batch.labels.data() + (crop * images.size() + i) * labels;
        for (std::size_t label = 0; label < labels; ++label) {
          to[label] = dataset_.labels_of(images[i].index)[drawn.flip ? mirrored_[label] : label];
        }
        buffers.crops[g].push_back(drawn);
      }
    }
  }
}

void Loader::run_ops(Batch& batch, const std::vector<StreamedImage>& images) {
  Buffers& buffers = *buffers_;
  const kernels::Backend& backend = queue_.backend();
  const auto bytes_of = [](const std::vector<kernels::AugmentCrop>& crops) {
    return aligned(static_cast<index_t>(crops.size() * sizeof(kernels::AugmentCrop)));
  };
  index_t bytes = 0;
  for (const StreamedImage& image : images) {
    bytes += aligned(static_cast<index_t>(image.image->rgb.size()));
  }
  const index_t pictures = bytes;
  for (const auto& crops : buffers.crops) bytes += bytes_of(crops);

  HostMemory& staging = buffers.staging[position_ % 2];
  staging.reserve(bytes);
  std::uint8_t* to = staging.data();
  for (const StreamedImage& image : images) {
    std::memcpy(to, image.image->rgb.data(), image.image->rgb.size());
    to += aligned(static_cast<index_t>(image.image->rgb.size()));
  }
  for (const auto& crops : buffers.crops) {
    std::memcpy(to, crops.data(), crops.size() * sizeof(kernels::AugmentCrop));
    to += bytes_of(crops);
  }
  // From here on the other staging is free again, and memory may grow.
  queue_.synchronize();
  buffers.uploaded.reserve(bytes);
  queue_.upload(buffers.uploaded.data(), staging.data(), bytes);

  index_t at = pictures;
  for (std::size_t g = 0; g < buffers.groups.size(); ++g) {
    const std::vector<kernels::AugmentCrop>& crops = buffers.crops[g];
    CropGroup group = buffers.groups[g];
    group.pixels = {buffers.outputs[g].data(),
                    options_.dtype,
                    {static_cast<index_t>(crops.size()), 3, group.size.height, group.size.width}};
    kernels::Augment args;
    args.crops = static_cast<index_t>(crops.size());
    args.height = group.size.height;
    args.width = group.size.width;
    args.crop = reinterpret_cast<const kernels::AugmentCrop*>(buffers.uploaded.data() + at);
    args.images = buffers.uploaded.data();
    for (const kernels::AugmentCrop& crop : crops) {
      args.most_rows = std::max<index_t>(args.most_rows, crop.height);
      args.most_columns = std::max<index_t>(args.most_columns, crop.width);
    }
    std::copy(options_.mean.begin(), options_.mean.end(), args.mean);
    std::copy(options_.deviation.begin(), options_.deviation.end(), args.deviation);
    args.output = {buffers.outputs[g].data(), options_.dtype, 3 * group.size.area(),
                   group.size.area()};
    queue_.reserve_scratch(backend.augment.scratch_for(queue_.raw(), args));
    if (args.crops > 0) backend.augment(queue_.raw(), args);
    at += bytes_of(crops);
    batch.groups.push_back(std::move(group));
  }
}

Batch Loader::next() {
  Batch batch;
  batch.step = position_;
  batch.epoch = sampler_.epoch_of(position_);
  const std::vector<StreamedImage> images = take_images();
  fill(batch, images);
  run_ops(batch, images);
  ++position_;
  delivered_ += batch.size();
  return batch;
}

}  // namespace vitsnna::train
