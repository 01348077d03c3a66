// From a data set to batches on the device: decoded by threads that run ahead, cropped and
// augmented by one op a crop size. On a GPU that happens beside the work on the batch before.
//
//   Loader loader(dataset, options, engine::read_image, queue);
//   loader.seek(position_of_a_checkpoint);
//   for (...) { Batch batch = loader.next(); ... }
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/pipeline.h"
#include "train/data/crop_maker.h"
#include "train/data/image_cache.h"
#include "train/data/image_stream.h"

namespace vitsnna::train {

struct LoaderOptions {
  std::vector<CropRecipe> crops;  ///< of every image
  index_t batch = 64;             ///< images, of this rank
  index_t parts = 1;              ///< batches whose gradients are accumulated before a step
  int rank = 0, ranks = 1;
  std::uint64_t seed = 0;
  bool shuffle = true;
  bool drop_last = true;         ///< false: the last batch of an epoch may be smaller, or empty
  int threads = 2;               ///< that decode
  index_t prefetch = 0;          ///< images that may be ahead; 0: two batches
  index_t least_short_side = 0;  ///< scaled decoding: least_short_side(crops); 0: decode in full
  double max_bad = .01;          ///< share of the set's images; more unreadable ones are an Error
  CacheKind cache = CacheKind::none;
  std::filesystem::path cache_folder;  ///< of CacheKind::disk
  index_t cache_bytes = 0;             ///< most of CacheKind::ram; 0: MemoryBudget decides
  PixelFormat format;                  ///< of the crops
  /// Called from next(): once an unreadable image, with its path and what is wrong with it, and
  /// once where the cache takes no more images.
  std::function<void(const std::string&)> report;
};

/// Tensors belong to the loader and hold until its next next().
struct Batch {
  index_t step = 0;  ///< this batch's position
  std::uint32_t epoch = 0;
  std::vector<index_t> indices;  ///< of its images in the data set
  /// (crops, images, labels): those of a crop that was mirrored as mirrored_labels() has them.
  std::vector<float> labels;
  std::vector<CropGroup> groups;  ///< in the order in which LoaderOptions::crops names their sizes

  index_t size() const { return static_cast<index_t>(indices.size()); }
};

struct LoaderStatistics {
  /// In which next() kept its caller waiting: for images and, where they are not made ahead, for
  /// their crops. The wait for the caller's own work on the batch before is not in it.
  double stall_seconds = 0.;
  index_t images = 0;      ///< delivered
  index_t bad_images = 0;  ///< different ones, found unreadable and passed over
  CacheUse cache;
};

class Loader {
 public:
  /// The set and the queue outlive the loader. Throws Error naming the option that is wrong.
  Loader(const Dataset& dataset, LoaderOptions options, ImageReader reader, engine::Queue& queue);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  index_t steps_per_epoch() const { return sampler_.steps_per_epoch(); }
  /// Batches since the run began, `parts` of them a step of it: all that has to be kept to go on.
  index_t position() const { return position_; }
  void seek(index_t position);

  /// The batch at position(), there for any queue; the same for any number of threads. Waits for
  /// the earlier work of the queue that the loader was made for. Throws Error where more than
  /// max_bad of the set's images have been unreadable, or all of them.
  Batch next();

  LoaderStatistics statistics() const;

 private:
  /// A batch, and what was met on the way to it.
  struct Made {
    Batch batch;
    std::vector<BadImage> bad;
    bool none_readable = false;  ///< all that was tried for one of its places
  };
  Made make(index_t position);
  std::vector<std::vector<kernels::AugmentCrop>> draw(Batch& batch,
                                                      const std::vector<StreamedImage>& images);
  index_t most_bad() const;
  void report(const Made& made);

  const Dataset& dataset_;
  LoaderOptions options_;
  engine::Queue& queue_;
  Sampler sampler_;
  ImageCache cache_;
  std::vector<std::size_t> mirrored_;  ///< places of the labels in a mirrored picture
  bool ahead_;                         ///< the next batch is made while one is used
  CropMaker maker_;
  std::unique_ptr<ImageStream> stream_;
  index_t position_ = 0;
  index_t delivered_ = 0;
  double stall_ = 0.;
  std::set<index_t> bad_;
  std::optional<Made> made_;  ///< the batch at position_, where lane_ has made it
  engine::Lane lane_;         ///< last: its thread ends before what it uses
};

}  // namespace vitsnna::train
