// Each step of the augmentation against PIL and torchvision (golden/augment.safetensors), alone.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/io/safetensors.h"
#include "engine/queue.h"
#include "tests/support/shared_path.h"
#include "tests/support/test_device.h"

namespace vitsnna {
namespace {

using kernels::AugmentCrop;
using kernels::ColorKind;
using kernels::index_t;
using Bytes = std::vector<std::uint8_t>;

struct Augmented {
  Bytes bytes;
  std::vector<float> normalised;
};

/// The op on one crop; `crop` holds the box and the resized size.
Augmented augmented(const engine::HostTensor& image, AugmentCrop crop) {
  crop.image_width = static_cast<std::int32_t>(image.shape[1]);
  kernels::Augment a;
  a.crops = 1;
  a.height = crop.resized_height;
  a.width = crop.resized_width;
  a.most_rows = crop.height;
  a.most_columns = crop.width;
  const float mean[] = {.485f, .456f, .406f}, deviation[] = {.229f, .224f, .225f};
  std::copy_n(mean, 3, a.mean);
  std::copy_n(deviation, 3, a.deviation);
  const index_t pixels = a.height * a.width;
  Augmented result{Bytes(static_cast<std::size_t>(3 * pixels)),
                   std::vector<float>(static_cast<std::size_t>(3 * pixels))};
  engine::Queue queue(test::test_device(), 1);
  const auto image_bytes = static_cast<index_t>(image.bytes.size());
  const index_t sizes[] = {static_cast<index_t>(sizeof(crop)), image_bytes, 3 * pixels,
                           12 * pixels};
  constexpr index_t kAlignment = 64;
  index_t all = 0;
  for (const index_t size : sizes) all += size + 2 * kAlignment;
  engine::Arena arena(&queue.backend(), all);
  void* places[4] = {};
  for (int k = 0; k < 4; ++k) {
    places[k] = arena.allocate(kernels::DType::f32, {(sizes[k] + 3) / 4}).data;
  }
  queue.upload(places[0], &crop, sizes[0]);
  queue.upload(places[1], image.bytes.data(), sizes[1]);
  a.crop = static_cast<const AugmentCrop*>(places[0]);
  a.images = static_cast<const std::uint8_t*>(places[1]);
  a.pixels = static_cast<std::uint8_t*>(places[2]);
  a.output = {places[3], kernels::DType::f32, 3 * pixels, pixels};
  queue.reserve_scratch(queue.backend().augment.scratch_for(queue.raw(), a));
  queue.backend().augment(queue.raw(), a);
  queue.download(result.bytes.data(), places[2], sizes[2]);
  queue.download(result.normalised.data(), places[3], sizes[3]);
  queue.synchronize();
  return result;
}

AugmentCrop whole(const engine::HostTensor& image) {
  AugmentCrop crop;
  crop.height = crop.resized_height = static_cast<std::int32_t>(image.shape[0]);
  crop.width = crop.resized_width = static_cast<std::int32_t>(image.shape[1]);
  return crop;
}

/// Every byte must be the golden one: the arithmetic is PIL's own.
void expect_bytes(const Bytes& got, const engine::HostTensor& want) {
  ASSERT_EQ(got.size(), want.bytes.size());
  std::size_t different = 0;
  int worst = 0;
  for (std::size_t k = 0; k < got.size(); ++k) {
    const int error = std::abs(int{got[k]} - static_cast<int>(want.bytes[k]));
    different += error > 0;
    worst = std::max(worst, error);
  }
  EXPECT_EQ(different, 0u) << "of " << got.size() << ", worst by " << worst;
}

/// Every golden array `out/<step>/<value>` against the crop that `change` makes of the value.
void check_step(const std::string& step, const std::function<void(AugmentCrop&, double)>& change) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/augment.safetensors");
  const engine::TensorFile file = engine::read_safetensors(path.string());
  int cases = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (name != "out/" + step && !name.starts_with("out/" + step + "/")) continue;
    SCOPED_TRACE(name);
    const std::size_t slash = name.find('/', 4);
    AugmentCrop crop = whole(file.at("in/image"));
    change(crop, slash == std::string::npos ? 0. : std::stod(name.substr(slash + 1)));
    expect_bytes(augmented(file.at("in/image"), crop).bytes, tensor);
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

TEST(AugmentGolden, BrightnessIsPillows) {
  check_step("brightness", [](AugmentCrop& crop, double factor) {
    crop.color[0] = {ColorKind::brightness, static_cast<float>(factor)};
  });
}
TEST(AugmentGolden, ContrastIsPillows) {
  check_step("contrast", [](AugmentCrop& crop, double factor) {
    crop.color[2] = {ColorKind::contrast, static_cast<float>(factor)};
  });
}
TEST(AugmentGolden, SaturationIsPillows) {
  check_step("saturation", [](AugmentCrop& crop, double factor) {
    crop.color[3] = {ColorKind::saturation, static_cast<float>(factor)};
  });
}
TEST(AugmentGolden, HueIsTorchvisions) {
  check_step("hue",
             [](AugmentCrop& crop, double turn) { crop.color[1] = kernels::hue_step(turn); });
}
TEST(AugmentGolden, GrayscaleIsPillows) {
  check_step("grayscale", [](AugmentCrop& crop, double) { crop.grayscale = true; });
}
TEST(AugmentGolden, TheBlurIsPillows) {
  check_step("gaussian_blur", [](AugmentCrop& crop, double radius) {
    crop.blur = kernels::box_blur(static_cast<float>(radius));
  });
}
TEST(AugmentGolden, SolarizeIsPillows) {
  check_step("solarize", [](AugmentCrop& crop, double threshold) {
    crop.solarize = static_cast<std::int32_t>(threshold);
  });
}
TEST(AugmentGolden, TheFlipIsPillows) {
  check_step("hflip", [](AugmentCrop& crop, double) { crop.flip = true; });
}

AugmentCrop boxed(const std::vector<index_t>& box) {
  AugmentCrop crop;
  const auto at = [&](std::size_t k) { return static_cast<std::int32_t>(box[k]); };
  crop.top = at(0);
  crop.left = at(1);
  crop.height = at(2);
  crop.width = at(3);
  crop.resized_height = at(4);
  crop.resized_width = at(5);
  return crop;
}

TEST(AugmentGolden, ResizedCropsArePillows) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/augment.safetensors");
  const engine::TensorFile file = engine::read_safetensors(path.string());
  const std::string prefix = "in/resized_crop_bicubic/";
  int cases = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with(prefix)) continue;
    SCOPED_TRACE(name);
    std::vector<index_t> box;
    for (const float value : tensor.to_floats()) box.push_back(static_cast<index_t>(value));
    expect_bytes(augmented(file.at("in/image"), boxed(box)).bytes,
                 file.at("out/resized_crop_bicubic/" + name.substr(prefix.size())));
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

TEST(AugmentGolden, TheNormalisedCropIsTorchvisions) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/augment.safetensors");
  const engine::TensorFile file = engine::read_safetensors(path.string());
  const auto got = augmented(file.at("in/image"), boxed({12, 40, 230, 260, 224, 224})).normalised;
  const std::vector<float> want = file.at("out/normalized_crop_imagenet").to_floats();
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t k = 0; k < got.size(); ++k) ASSERT_NEAR(got[k], want[k], 1e-6) << k;
}

}  // namespace
}  // namespace vitsnna
