// A data set that lies nowhere, and what a loader makes of one.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "train/data/loader.h"

namespace vitsnna::test {

using train::Batch;
using train::CropGroup;
using train::CropRecipe;
using train::Dataset;
using train::Image;
using train::ImageReader;
using train::index_t;
using train::Loader;
using train::LoaderOptions;
using train::Sample;

/// Images of a set that lies nowhere: number k is of one colour, and of a size of its own.
inline Dataset imaginary(index_t count) {
  Dataset dataset;
  dataset.label_names = {"left", "other", "right"};
  for (index_t k = 0; k < count; ++k) {
    dataset.samples.push_back({std::to_string(k), std::to_string(k)});
    for (const float label : {static_cast<float>(k), .5f, static_cast<float>(-k)}) {
      dataset.labels.push_back(label);
    }
  }
  return dataset;
}

inline Image imagined(const std::string& path, index_t = 0) {
  const index_t k = std::stoi(path);
  Image image{8 + k % 5, 9 + k % 3, {}};
  image.rgb.assign(static_cast<std::size_t>(3 * image.extent().area()),
                   static_cast<std::uint8_t>(k));
  return image;
}

/// imagined(), but for these.
inline ImageReader with_bad(std::set<std::string> bad) {
  return [bad = std::move(bad)](const std::string& path, index_t) {
    if (bad.contains(path)) throw Error(path + ": damaged");
    return imagined(path);
  };
}

/// "0" to count - 1.
inline std::set<std::string> numbers(int count) {
  std::set<std::string> all;
  for (int k = 0; k < count; ++k) all.insert(std::to_string(k));
  return all;
}

inline LoaderOptions options_of(index_t batch) {
  LoaderOptions options;
  CropRecipe crop;
  crop.size = {6, 6};
  options.crops = {crop};
  options.batch = batch;
  options.seed = 11;
  return options;
}

struct Seen {
  std::vector<index_t> indices;
  std::vector<float> labels, pixels;
  bool operator==(const Seen&) const = default;
};

inline void append(Seen& all, const Batch& batch) {
  all.indices.insert(all.indices.end(), batch.indices.begin(), batch.indices.end());
  all.labels.insert(all.labels.end(), batch.labels.begin(), batch.labels.end());
  for (const CropGroup& group : batch.groups) {
    const float* data = group.pixels.f32();
    all.pixels.insert(all.pixels.end(), data, data + group.pixels.shape.elements());
  }
}

inline Seen run(const Dataset& dataset, const LoaderOptions& options, index_t steps,
                index_t from = 0, const ImageReader& reader = imagined) {
  engine::Queue queue(engine::Device{}, 1);
  Loader loader(dataset, options, reader, queue);
  if (from > 0) loader.seek(from);
  Seen all;
  for (index_t step = 0; step < steps; ++step) {
    EXPECT_EQ(loader.position(), from + step);
    const Batch batch = loader.next();
    EXPECT_EQ(batch.step, from + step);
    append(all, batch);
  }
  return all;
}

}  // namespace vitsnna::test
