// From a data set to batches on the device: decoded by threads that run ahead, cropped and
// augmented by one op a crop size.
//
//   Loader loader(dataset, options, engine::read_image, queue);
//   loader.seek(position_of_a_checkpoint);
//   for (...) { Batch batch = loader.next(); ... }
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/queue.h"
#include "engine/tensor.h"
#include "train/augment/recipe.h"
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
  std::array<float, 3> mean{.485f, .456f, .406f}, deviation{.229f, .224f, .225f};
  kernels::DType dtype = kernels::DType::f32;  ///< of the crops
  index_t cache_bytes = 0;                     ///< most of CacheKind::ram; 0: MemoryBudget decides
  /// Called from next(): once an unreadable image, with its path and what is wrong with it, and
  /// once where the cache takes no more images.
  std::function<void(const std::string&)> report;
};

/// The crops of one size, all images of one crop before the next crop's.
struct CropGroup {
  Extent size;
  std::vector<std::size_t> crops;  ///< which of LoaderOptions::crops
  engine::Tensor pixels;           ///< (crops * images, 3, height, width), normalised
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
  double stall_seconds = 0.;  ///< in which next() waited for images
  index_t images = 0;         ///< delivered
  index_t bad_images = 0;     ///< different ones, found unreadable and passed over
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

  /// The batch at position(), put on the queue; the same for any number of threads. Waits for the
  /// queue's earlier work where it has to reuse memory that the device copies from. Throws Error
  /// where more than max_bad of the set's images have been unreadable, or all of them.
  Batch next();

  LoaderStatistics statistics() const;

 private:
  struct Buffers;
  std::vector<StreamedImage> take_images();
  index_t most_bad() const;
  void note_bad(const StreamedImage& image);
  void fill(Batch& batch, const std::vector<StreamedImage>& images);
  void run_ops(Batch& batch, const std::vector<StreamedImage>& images);

  const Dataset& dataset_;
  LoaderOptions options_;
  engine::Queue& queue_;
  Sampler sampler_;
  ImageCache cache_;
  std::vector<std::size_t> mirrored_;  ///< places of the labels in a mirrored picture
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<ImageStream> stream_;
  index_t position_ = 0;
  index_t delivered_ = 0;
  double earlier_stall_ = 0.;
  std::set<index_t> bad_;
};

}  // namespace vitsnna::train
