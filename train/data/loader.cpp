// Takes a batch's images from the stream, draws their crops, and has them made.
#include "train/data/loader.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "kernels/error.h"
#include "train/augment/mirrored_labels.h"
#include "train/augment/parameters.h"

namespace vitsnna::train {
namespace {

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

/// Whether the queue's device computes beside the processor, which is then free to make a batch.
bool computes_elsewhere(const engine::Queue& queue) {
  return queue.device().kind != engine::Device::Kind::cpu;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

Loader::Loader(const Dataset& dataset, LoaderOptions options, ImageReader reader,
               engine::Queue& queue)
    : dataset_(dataset),
      options_(std::move(options)),
      queue_(queue),
      sampler_(sampler_of(dataset, options_)),
      cache_(dataset, std::move(reader), options_.least_short_side, options_.cache,
             options_.cache_folder, options_.cache_bytes),
      mirrored_(mirrored_labels(dataset.label_names)),
      ahead_(computes_elsewhere(queue)),
      maker_(queue, options_.crops, options_.batch, ahead_ ? 2 : 1, options_.format) {
  if (dataset.size() > index_t{0xffffffff}) {
    throw Error(fmt::format("a data set of {} images, at most 2^32 - 1 wanted", dataset.size()));
  }
}

Loader::~Loader() = default;

void Loader::seek(index_t position) {
  if (position < 0) throw Error(fmt::format("loader position {}, 0 or more wanted", position));
  try {
    lane_.finish();
  } catch (...) {
    // The batch that could not be made is not wanted any more.
  }
  made_.reset();
  stream_.reset();
  position_ = position;
}

LoaderStatistics Loader::statistics() const {
  return {stall_, delivered_, static_cast<index_t>(bad_.size()), cache_.use()};
}

/// .29 of 100 images are 29, though .29 * 100 is less.
index_t Loader::most_bad() const {
  return static_cast<index_t>(
      std::floor(options_.max_bad * static_cast<double>(dataset_.size()) + 1e-9));
}

/// Tells of what is unreadable; throws Error where it is too much.
void Loader::report(const Made& made) {
  for (const BadImage& image : made.bad) {
    if (bad_.insert(image.index).second && options_.report) options_.report(image.reason);
    const auto bad = static_cast<index_t>(bad_.size());
    if (bad <= most_bad()) continue;
    throw Error(
        fmt::format("{} of {} images are unreadable, --max-bad allows {} ({:.3g}%); the last: {}",
                    bad, dataset_.size(), most_bad(), 100. * options_.max_bad, image.reason));
  }
  if (made.none_readable) {
    throw Error(fmt::format("{}: none of {} images is readable; the last: {}", dataset_.path,
                            dataset_.size(), made.bad.back().reason));
  }
}

std::vector<std::vector<kernels::AugmentCrop>> Loader::draw(
    Batch& batch, const std::vector<StreamedImage>& images) {
  std::vector<std::vector<kernels::AugmentCrop>> drawn(maker_.groups().size());
  const auto labels = static_cast<std::size_t>(dataset_.label_count());
  batch.labels.resize(options_.crops.size() * images.size() * labels);
  for (const StreamedImage& image : images) batch.indices.push_back(image.index);
  for (std::size_t g = 0; g < drawn.size(); ++g) {
    for (const std::size_t crop : maker_.groups()[g].crops) {
      for (std::size_t i = 0; i < images.size(); ++i) {
        const CropKey key{options_.seed, static_cast<std::uint32_t>(images[i].index), batch.epoch,
                          static_cast<std::uint32_t>(crop)};
        drawn[g].push_back(draw_crop(options_.crops[crop], images[i].image->extent(), key));
        float* to = batch.labels.data() + (crop * images.size() + i) * labels;
        for (std::size_t label = 0; label < labels; ++label) {
          to[label] =
              dataset_.labels_of(images[i].index)[drawn[g].back().flip ? mirrored_[label] : label];
        }
      }
    }
  }
  return drawn;
}

Loader::Made Loader::make(index_t position) {
  if (!stream_) {
    StreamOptions options;
    options.threads = options_.threads;
    options.ahead = options_.prefetch > 0 ? options_.prefetch : 2 * options_.batch;
    options.most_bad = most_bad();
    options.first_step = position;
    stream_ = std::make_unique<ImageStream>(
        sampler_, [this](index_t index) { return cache_.get(index); }, options);
  }
  Made made;
  made.batch.step = position;
  made.batch.epoch = sampler_.epoch_of(position);
  std::vector<StreamedImage> images;
  std::vector<const Image*> pictures;
  for (index_t slot = 0; slot < options_.batch; ++slot) {
    StreamedImage next = stream_->next();
    made.bad.insert(made.bad.end(), next.bad.begin(), next.bad.end());
    made.none_readable = made.none_readable || (!next.image && !next.bad.empty());
    if (!next.image) continue;
    pictures.push_back(next.image.get());
    images.push_back(std::move(next));
  }
  auto crops = draw(made.batch, images);
  made.batch.groups = maker_.make(pictures, crops);
  return made;
}

Batch Loader::next() {
  queue_.synchronize();  // what it does with an earlier batch's memory, which is filled next
  const Clock::time_point begin = Clock::now();
  Made made;
  try {
    lane_.finish();
    made = made_ ? *std::exchange(made_, std::nullopt) : make(position_);
    report(made);
    for (const std::string& notice : cache_.take_notices()) {
      if (options_.report) options_.report(notice);
    }
  } catch (...) {
    stream_.reset();  // it is past the images of this position
    throw;
  }
  stall_ += seconds_since(begin);
  ++position_;
  delivered_ += made.batch.size();
  if (ahead_) lane_.start([this] { made_ = make(position_); });
  return std::move(made.batch);
}

}  // namespace vitsnna::train
