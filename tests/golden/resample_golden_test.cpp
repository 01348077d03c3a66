// Crops resized by PIL and torchvision (golden/augment.safetensors), met by the CPU's kernel.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "engine/io/safetensors.h"
#include "kernels/backend.h"
#include "tests/support/shared_path.h"

namespace vitsnna {
namespace {

using kernels::index_t;

/// Bytes (height, width, 3) of a crop, resized to the last two numbers of `box`.
struct ResizedCrop {
  std::vector<std::uint8_t> bytes;
  std::vector<float> normalised;
};

/// box: top, left, height, width of the crop, height and width of the result.
ResizedCrop resized_crop(const engine::HostTensor& image, const std::vector<index_t>& box,
                         kernels::ResampleNormalize a) {
  const index_t image_width = image.shape[1];
  std::vector<std::uint8_t> crop(static_cast<std::size_t>(box[2] * box[3] * 3));
  for (index_t y = 0; y < box[2]; ++y) {
    std::memcpy(crop.data() + y * box[3] * 3,
                image.bytes.data() + ((box[0] + y) * image_width + box[1]) * 3,
                static_cast<std::size_t>(box[3] * 3));
  }
  a.source = crop.data();
  a.source_height = box[2];
  a.source_width = box[3];
  a.resized_height = a.crop_height = box[4];
  a.resized_width = a.crop_width = box[5];
  const auto count = static_cast<std::size_t>(box[4] * box[5] * 3);
  ResizedCrop result{std::vector<std::uint8_t>(count), std::vector<float>(count)};
  a.resized = result.bytes.data();
  a.output = result.normalised.data();
  kernels::Queue queue;
  const kernels::Backend& backend = kernels::cpu_backend();
  std::vector<std::uint8_t> scratch(
      static_cast<std::size_t>(backend.resample_normalize.scratch_for(queue, a)) + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  queue.scratch = scratch.data() + (64 - address % 64) % 64;
  queue.scratch_bytes = static_cast<index_t>(scratch.size()) - 64;
  backend.resample_normalize(queue, a);
  return result;
}

TEST(ResampleGolden, CropsAreResizedAsPillowDoes) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/augment.safetensors");
  const engine::TensorFile file = engine::read_safetensors(path.string());
  const std::string prefix = "in/resized_crop_bicubic/";
  int cases = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with(prefix)) continue;
    SCOPED_TRACE(name);
    std::vector<index_t> box;
    for (const float value : tensor.to_floats()) box.push_back(static_cast<index_t>(value));
    ASSERT_EQ(box.size(), 6u);
    const auto got = resized_crop(file.at("in/image"), box, {});
    const auto& want = file.at("out/resized_crop_bicubic/" + name.substr(prefix.size()));
    ASSERT_EQ(want.bytes.size(), got.bytes.size());
    std::size_t different = 0;
    for (std::size_t k = 0; k < got.bytes.size(); ++k) {
      different += got.bytes[k] != static_cast<std::uint8_t>(want.bytes[k]);
    }
    EXPECT_EQ(different, 0u) << "bytes of " << got.bytes.size();
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

TEST(ResampleGolden, TheNormalisedCropIsTorchvisions) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/augment.safetensors");
  const engine::TensorFile file = engine::read_safetensors(path.string());
  kernels::ResampleNormalize a;
  const float mean[] = {.485f, .456f, .406f}, deviation[] = {.229f, .224f, .225f};
  std::copy_n(mean, 3, a.mean);
  std::copy_n(deviation, 3, a.deviation);
  const auto got = resized_crop(file.at("in/image"), {12, 40, 230, 260, 224, 224}, a).normalised;
  const std::vector<float> want = file.at("out/normalized_crop_imagenet").to_floats();
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    ASSERT_NEAR(got[k], want[k], 1e-6) << k;
  }
}

}  // namespace
}  // namespace vitsnna
