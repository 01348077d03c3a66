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
#include "train/data/memory_budget.h"

namespace vitsnna::train {

enum class CacheKind { none, ram, disk };

/// Reads an image file; a JPEG may come reduced, its short side at least `least_short_side`
/// (engine::read_image).
using ImageReader = std::function<Image(const std::string& path, index_t least_short_side)>;

/// What the cache holds of the set so far.
struct CacheUse {
  index_t images = 0, bytes = 0;
};

/// Whatever happens to the cache, get() gives the image that the reader gives: one that cannot be
/// kept is read anew each time.
class ImageCache {
 public:
  /// `folder` is made where it is missing; for CacheKind::disk alone. `most_bytes` of
  /// CacheKind::ram: MemoryBudget's. The set outlives the cache.
  ImageCache(const Dataset& dataset, ImageReader reader, index_t least_short_side, CacheKind kind,
             std::filesystem::path folder, index_t most_bytes = 0);

  /// From the cache, else read and kept. A cached file is named after the image's path, size, time
  /// of change and `least_short_side`; one whose checksum is not that of what was written is read
  /// anew. Throws what the reader throws, and nothing of the cache's own.
  std::shared_ptr<const Image> get(index_t index);

  CacheUse use() const { return {images_, bytes_}; }

  /// What the user should hear of since the last call: that memory is full, or that a file could
  /// not be written; each once, and no more images are kept from then on.
  std::vector<std::string> take_notices();

 private:
  std::shared_ptr<const Image> from_memory(index_t index);
  std::shared_ptr<const Image> from_disk(const std::string& path);
  std::shared_ptr<const Image> read(const std::string& path) const;
  void write(const std::filesystem::path& path, const Image& image);
  /// Under mutex_.
  void stop_keeping(std::string reason);

  const Dataset& dataset_;
  ImageReader reader_;
  index_t least_short_side_;
  CacheKind kind_;
  std::filesystem::path folder_;
  std::atomic<bool> keeping_ = true;
  std::mutex mutex_;
  MemoryBudget budget_;
  std::vector<std::shared_ptr<const Image>> kept_;  ///< by index, of CacheKind::ram
  std::vector<std::string> notices_;
  std::atomic<index_t> images_ = 0, bytes_ = 0;
};

}  // namespace vitsnna::train
