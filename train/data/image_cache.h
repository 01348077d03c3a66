// Decoded images kept for the next epoch: in memory, or as files of bare pixels.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/image_stream.h"

namespace vitsnna::train {

enum class CacheKind { none, ram, disk };

/// Reads an image file; a JPEG may come reduced, its short side at least `least_short_side`
/// (engine::read_image).
using ImageReader = std::function<Image(const std::string& path, index_t least_short_side)>;

/// What the cache holds of the set so far.
struct CacheUse {
  index_t images = 0, bytes = 0;
};

class ImageCache {
 public:
  /// `folder` is made where it is missing; for CacheKind::disk alone. The set outlives the cache.
  ImageCache(const Dataset& dataset, ImageReader reader, index_t least_short_side, CacheKind kind,
             std::filesystem::path folder);

  /// From the cache, else read and kept. A cached file that is not what was written is read anew;
  /// its name holds the image's path, size, time of change and `least_short_side`.
  std::shared_ptr<const Image> get(index_t index);

  CacheUse use() const { return {images_, bytes_}; }

 private:
  std::shared_ptr<const Image> from_disk(const std::string& path);
  std::shared_ptr<const Image> read(const std::string& path) const;

  const Dataset& dataset_;
  ImageReader reader_;
  index_t least_short_side_;
  CacheKind kind_;
  std::filesystem::path folder_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<const Image>> kept_;  ///< by index, of CacheKind::ram
  std::atomic<index_t> images_ = 0, bytes_ = 0;
};

}  // namespace vitsnna::train
