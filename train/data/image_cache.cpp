// A cached file: eight bytes of magic, height and width as 64 bits each, then the pixels.
#include "train/data/image_cache.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
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
  std::array<char, 8> magic{'v', 's', 'n', 'p', 'i', 'x', '0', '1'};
  index_t height = 0, width = 0;
};

/// Empty where the file is missing or is not whole.
std::shared_ptr<const Image> read_cached(const fs::path& path) {
  std::error_code code;
  const std::uintmax_t size = fs::file_size(path, code);
  if (code || size < sizeof(Header)) return nullptr;
  std::ifstream in(path, std::ios::binary);
  Header header;
  const std::array<char, 8> magic = header.magic;
  in.read(reinterpret_cast<char*>(&header), sizeof header);
  if (!in || header.magic != magic || header.height < 1 || header.width < 1) return nullptr;
  const std::uintmax_t bytes = size - sizeof(Header);
  if (bytes / 3 / static_cast<std::uintmax_t>(header.height) !=
          static_cast<std::uintmax_t>(header.width) ||
      bytes % (3 * static_cast<std::uintmax_t>(header.height)) != 0) {
    return nullptr;
  }
  auto image = std::make_shared<Image>(Image{header.height, header.width, {}});
  image->rgb.resize(static_cast<std::size_t>(bytes));
  in.read(reinterpret_cast<char*>(image->rgb.data()), static_cast<std::streamsize>(bytes));
  if (!in) return nullptr;
  return image;
}

void write_cached(const fs::path& path, const Image& image) {
  Header header;
  header.height = image.height;
  header.width = image.width;
  engine::AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header, 1)));
  file.write(std::as_bytes(std::span(image.rgb)));
  file.commit();
}

index_t bytes_of(const Image& image) { return static_cast<index_t>(image.rgb.size()); }

}  // namespace

ImageCache::ImageCache(const Dataset& dataset, ImageReader reader, index_t least_short_side,
                       CacheKind kind, fs::path folder)
    : dataset_(dataset),
      reader_(std::move(reader)),
      least_short_side_(least_short_side),
      kind_(kind),
      folder_(std::move(folder)) {
  if (kind_ == CacheKind::ram) kept_.resize(dataset.samples.size());
  if (kind_ != CacheKind::disk) return;
  std::error_code code;
  fs::create_directories(folder_, code);
  if (code) throw Error(fmt::format("cache folder {}: {}", folder_.string(), code.message()));
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
  write_cached(cached, *image);
  ++images_;
  bytes_ += bytes_of(*image);
  return image;
}

std::shared_ptr<const Image> ImageCache::get(index_t index) {
  const auto at = static_cast<std::size_t>(index);
  const std::string& path = dataset_.samples[at].path;
  if (kind_ == CacheKind::none) return read(path);
  if (kind_ == CacheKind::disk) return from_disk(path);
  {
    const std::lock_guard lock(mutex_);
    if (kept_[at]) return kept_[at];
  }
  auto image = read(path);  // not under the lock: two threads may both read it, one copy stays
  const std::lock_guard lock(mutex_);
  if (!kept_[at]) {
    kept_[at] = image;
    ++images_;
    bytes_ += bytes_of(*image);
  }
  return kept_[at];
}

}  // namespace vitsnna::train
