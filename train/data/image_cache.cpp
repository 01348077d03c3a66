// A cached file: eight bytes of magic, height and width as 64 bits each, a checksum, the pixels.
#include "train/data/image_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <system_error>
#include <utility>

#include "engine/io/atomic_file.h"
#include "engine/io/sha256.h"
#include "kernels/error.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

struct Header {
  std::array<char, 8> magic{'v', 's', 'n', 'p', 'i', 'x', '0', '2'};
  index_t height = 0, width = 0;
  std::array<char, 64> checksum{};
};

/// Of the extent and the pixels. SHA-256 because it is at hand, and in hardware where training
/// runs.
std::array<char, 64> checksum_of(const Image& image) {
  const std::string pixels = engine::sha256(std::as_bytes(std::span(image.rgb)));
  const std::string all = fmt::format("{}x{} {}", image.height, image.width, pixels);
  const std::string digits = engine::sha256(std::as_bytes(std::span(all)));
  std::array<char, 64> checksum{};
  std::copy_n(digits.begin(), checksum.size(), checksum.begin());
  return checksum;
}

/// Empty where the file is missing or is not what write_cached() wrote.
std::shared_ptr<const Image> read_cached(const fs::path& path) {
  std::error_code code;
  const std::uintmax_t size = fs::file_size(path, code);
  if (code || size <= sizeof(Header)) return nullptr;
  std::ifstream in(path, std::ios::binary);
  Header header;
  const std::array<char, 8> magic = header.magic;
  in.read(reinterpret_cast<char*>(&header), sizeof header);
  if (!in || header.magic != magic) return nullptr;
  auto image = std::make_shared<Image>(Image{header.height, header.width, {}});
  image->rgb.resize(static_cast<std::size_t>(size - sizeof(Header)));
  in.read(reinterpret_cast<char*>(image->rgb.data()),
          static_cast<std::streamsize>(image->rgb.size()));
  if (!in || checksum_of(*image) != header.checksum) return nullptr;
  return image;
}

void write_cached(const fs::path& path, const Image& image) {
  Header header;
  header.height = image.height;
  header.width = image.width;
  header.checksum = checksum_of(image);
  engine::AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header, 1)));
  file.write(std::as_bytes(std::span(image.rgb)));
  file.commit(engine::Durability::process);
}

index_t bytes_of(const Image& image) { return static_cast<index_t>(image.rgb.size()); }

}  // namespace

ImageCache::ImageCache(const Dataset& dataset, ImageReader reader, index_t least_short_side,
                       CacheKind kind, fs::path folder, index_t most_bytes)
    : dataset_(dataset),
      reader_(std::move(reader)),
      least_short_side_(least_short_side),
      kind_(kind),
      folder_(std::move(folder)),
      budget_(most_bytes) {
  if (kind_ == CacheKind::ram) kept_.resize(dataset.samples.size());
  if (kind_ != CacheKind::disk) return;
  std::error_code code;
  fs::create_directories(folder_, code);
  if (code) throw Error(fmt::format("--cache-folder: {}: {}", folder_.string(), code.message()));
}

std::shared_ptr<const Image> ImageCache::read(const std::string& path) const {
  return std::make_shared<const Image>(reader_(path, least_short_side_));
}

std::shared_ptr<const Image> ImageCache::from_disk(const std::string& path) {
  std::error_code code;
  const std::uintmax_t size = fs::file_size(path, code);
  if (code) throw Error(fmt::format("{}: {}", path, code.message()));
  const auto changed = fs::last_write_time(path, code).time_since_epoch().count();
  const std::string key =
      fmt::format("{}\n{}\n{}\n{}", fs::absolute(path).string(), size, changed, least_short_side_);
  const fs::path cached = folder_ / (engine::sha256(std::as_bytes(std::span(key))) + ".pixels");
  if (auto image = read_cached(cached)) return image;
  auto image = read(path);
  write(cached, *image);
  return image;
}

void ImageCache::write(const fs::path& path, const Image& image) {
  if (!keeping_) return;
  try {
    write_cached(path, image);
    ++images_;
    bytes_ += bytes_of(image);
  } catch (const Error& error) {  // a full disk says nothing about the image
    const std::lock_guard lock(mutex_);
    stop_keeping(fmt::format("--cache disk: {}; no more images are kept", error.what()));
  }
}

std::shared_ptr<const Image> ImageCache::from_memory(index_t index) {
  const auto at = static_cast<std::size_t>(index);
  {
    const std::lock_guard lock(mutex_);
    if (kept_[at]) return kept_[at];
  }
  // Not under the lock: two threads may both read it, one copy stays.
  auto image = read(dataset_.samples[at].path);
  const std::lock_guard lock(mutex_);
  if (kept_[at]) return kept_[at];
  if (!keeping_) return image;
  if (!budget_.take(bytes_of(*image))) {
    stop_keeping(
        fmt::format("--cache ram: memory is full with {} of {} images in {:.1f} MiB; "
                    "the others are read anew each time",
                    images_.load(), dataset_.size(), static_cast<double>(bytes_) / (1 << 20)));
    return image;
  }
  kept_[at] = image;
  ++images_;
  bytes_ += bytes_of(*image);
  return image;
}

std::shared_ptr<const Image> ImageCache::get(index_t index) {
  if (kind_ == CacheKind::ram) return from_memory(index);
  const std::string& path = dataset_.samples[static_cast<std::size_t>(index)].path;
  return kind_ == CacheKind::disk ? from_disk(path) : read(path);
}

void ImageCache::stop_keeping(std::string reason) {
  if (keeping_.exchange(false)) notices_.push_back(std::move(reason));
}

std::vector<std::string> ImageCache::take_notices() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notices_, {});
}

}  // namespace vitsnna::train
