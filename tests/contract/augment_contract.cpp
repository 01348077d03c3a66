// Contract of the augmentation: every step, alone and together, crops of several pictures at once.
#include <cstring>

#include "tests/contract/check.h"
#include "tests/oracle/augment.h"

namespace vitsnna::contract {
namespace {

using kernels::Augment;
using kernels::AugmentCrop;
using kernels::ColorKind;
using kernels::ColorStep;

VITSNNA_CONTRACT(AugmentContract);

/// Pixels of every hue and grey, some of them black and white.
Values picture(index_t height, index_t width, std::uint64_t seed) {
  Values values = random_values(height * width * 3, seed);
  for (double& v : values) v = std::floor((v + 1.) * 127.999);
  for (std::size_t k = 0; k < values.size(); ++k) {
    const std::size_t pixel = k / 3;
    if (pixel % 7 == 0) values[k] = values[pixel * 3];
    values[k] = pixel % 31 == 0 ? 0. : pixel % 29 == 0 ? 255. : values[k];
  }
  return values;
}

struct Picture {
  index_t height = 0, width = 0;
  Values values;
};

std::vector<Picture> pictures() {
  std::vector<Picture> all;
  for (const auto& [height, width] : {std::pair<index_t, index_t>{23, 31}, {40, 17}, {1, 1}}) {
    all.push_back({height, width, picture(height, width, 5 + all.size())});
  }
  return all;
}

AugmentCrop boxed(const std::vector<Picture>& from, std::size_t which, std::int32_t top,
                  std::int32_t left, std::int32_t height, std::int32_t width) {
  AugmentCrop crop;
  for (std::size_t k = 0; k < which; ++k) {
    crop.image += static_cast<index_t>(from[k].values.size());
  }
  crop.image_width = static_cast<std::int32_t>(from[which].width);
  crop.top = top;
  crop.left = left;
  crop.height = height;
  crop.width = width;
  return crop;
}

/// One crop of each step, and some of many.
std::vector<AugmentCrop> crops_of(const std::vector<Picture>& from, index_t height, index_t width) {
  std::vector<AugmentCrop> crops;
  const auto add = [&](AugmentCrop crop) -> AugmentCrop& {
    if (crop.resized_height == 0) {
      crop.resized_height = static_cast<std::int32_t>(height);
      crop.resized_width = static_cast<std::int32_t>(width);
    }
    return crops.emplace_back(crop);
  };
  const AugmentCrop whole = boxed(from, 0, 0, 0, 23, 31);
  add(boxed(from, 0, 3, 5, 11, 20));
  add(boxed(from, 1, 0, 2, 40, 15));
  add(boxed(from, 2, 0, 0, 1, 1)).flip = true;
  add(whole).flip = true;
  add(whole).grayscale = true;
  for (const int threshold : {0, 128, 255}) add(whole).solarize = threshold;
  for (const float sigma : {.1f, .7f, 2.f, 9.f}) add(whole).blur = kernels::box_blur(sigma);
  for (const float factor : {0.f, .6f, 1.f, 1.37f}) {
    add(whole).color[0] = {ColorKind::brightness, factor};
    add(whole).color[1] = {ColorKind::contrast, factor};
    add(whole).color[3] = {ColorKind::saturation, factor};
  }
  for (const double turn : {-.5, -.1, .02, .5}) add(whole).color[2] = kernels::hue_step(turn);
  AugmentCrop window = boxed(from, 1, 4, 0, 30, 17);  // resized to more than is kept of it
  window.resized_height = static_cast<std::int32_t>(height + 9);
  window.resized_width = static_cast<std::int32_t>(width + 4);
  window.window_top = 6;
  window.window_left = 1;
  add(window).flip = true;
  ColorStep steps[4] = {{ColorKind::brightness, 1.3f},
                        {ColorKind::contrast, .7f},
                        {ColorKind::saturation, 1.15f},
                        kernels::hue_step(.07)};
  for (int first = 0; first < 4; ++first) {
    AugmentCrop& all = add(boxed(from, 0, first, 1, 18, 29));
    for (int k = 0; k < 4; ++k) all.color[k] = steps[(first + k) % 4];
    all.flip = first % 2 == 0;
    all.grayscale = first == 3;
    all.blur = kernels::box_blur(.4f + static_cast<float>(first) / 2.f);
    all.solarize = first == 1 ? 128 : 256;
  }
  return crops;
}

/// The crops' parameters as the bytes of an operand.
Values bytes_of(const std::vector<AugmentCrop>& crops) {
  Values values;
  for (const AugmentCrop& crop : crops) {
    std::uint8_t raw[sizeof crop];
    std::memcpy(raw, &crop, sizeof crop);
    values.insert(values.end(), raw, raw + sizeof crop);
  }
  return values;
}

Outputs run(const Subject& subject, Augment a, const std::vector<AugmentCrop>& crops,
            const std::vector<Picture>& from, int threads) {
  Values images;
  for (const Picture& one : from) images.insert(images.end(), one.values.begin(), one.values.end());
  const Values parameters = bytes_of(crops);
  const auto source =
      Operand::input(subject, dense(static_cast<index_t>(images.size()), Storage::u8), images);
  const auto crop = Operand::input(
      subject, dense(static_cast<index_t>(parameters.size()), Storage::u8), parameters);
  a.crops = static_cast<index_t>(crops.size());
  a.crop = reinterpret_cast<const AugmentCrop*>(crop.bytes());
  a.images = source.bytes();
  for (const AugmentCrop& one : crops) {
    a.most_rows = std::max<index_t>(a.most_rows, one.height);
    a.most_columns = std::max<index_t>(a.most_columns, one.width);
  }
  const index_t pixels = a.height * a.width;
  Layout layout = strided(a.crops, 3, pixels, subject.precision);
  if (subject.aligned_operands) layout = layout.aligned();
  const auto output = Operand::output(subject, layout);
  const auto bytes = Operand::output(subject, dense(a.crops * 3 * pixels, Storage::u8));
  a.output = output.matrix();
  a.pixels = bytes.bytes();
  launch(subject, subject.backend->augment, a, threads);
  a.pixels = nullptr;
  const auto alone = Operand::output(subject, layout);
  a.output = alone.matrix();
  launch(subject, subject.backend->augment, a, threads);
  EXPECT_TRUE(same_bits(output.values(), alone.values()));
  return {output.values(), bytes.values()};
}

Augment augment_of(index_t height, index_t width) {
  Augment a;
  a.height = height;
  a.width = width;
  for (std::size_t c = 0; c < 3; ++c) {
    a.mean[c] = .4f + .02f * static_cast<float>(c);
    a.deviation[c] = .2f + .01f * static_cast<float>(c);
  }
  return a;
}

TEST_P(AugmentContract, EveryStepIsPillowsToTheBit) {
  const std::vector<Picture> from = pictures();
  for (const auto& [height, width] : {std::pair<index_t, index_t>{16, 12}, {29, 33}}) {
    SCOPED_TRACE(testing::Message() << height << "x" << width);
    const Augment a = augment_of(height, width);
    const std::vector<AugmentCrop> crops = crops_of(from, height, width);
    const Outputs got = run_on_every_team(
        subject(), [&](int threads) { return run(subject(), a, crops, from, threads); });
    Values bytes, normalised;
    for (const AugmentCrop& crop : crops) {
      std::size_t which = 0;
      index_t start = 0;
      while (start < crop.image) start += static_cast<index_t>(from[which++].values.size());
      const Values one = oracle::augment(crop, height, width, from[which].values);
      bytes.insert(bytes.end(), one.begin(), one.end());
      for (index_t c = 0; c < 3; ++c) {
        for (index_t k = 0; k < height * width; ++k) {
          normalised.push_back(
              (oracle::at(one, 3 * k + c) / 255. - static_cast<double>(a.mean[c])) /
              static_cast<double>(a.deviation[c]));
        }
      }
    }
    expect_equal("pixels", got[1], bytes);
    expect_close("output", got[0], normalised, oracle::rounded(normalised, precision()), 1. / .2,
                 precision());
  }
}

TEST_P(AugmentContract, ACropDoesNotDependOnItsNeighbours) {
  const std::vector<Picture> from = pictures();
  const Augment a = augment_of(9, 14);
  const std::vector<AugmentCrop> crops = crops_of(from, 9, 14);
  const Values together = run(subject(), a, crops, from, 1)[1];
  for (const std::size_t k : {std::size_t{1}, crops.size() / 2, crops.size() - 1}) {
    expect_equal("pixels", run(subject(), a, {crops[k]}, from, 1)[1],
                 part(together, static_cast<index_t>(crops.size()), static_cast<index_t>(k)));
  }
}

TEST_P(AugmentContract, MoreCropsThanBlocksAreTakenInTurns) {
  const std::vector<Picture> from = pictures();
  const std::vector<AugmentCrop> few = crops_of(from, 3, 2);
  std::vector<AugmentCrop> many;
  while (many.size() < 600) many.push_back(few[many.size() % few.size()]);
  const Values once = run(subject(), augment_of(3, 2), few, from, 1)[1];
  const Values got = run(subject(), augment_of(3, 2), many, from, 1)[1];
  for (index_t k = 0; k < 600; ++k) {
    expect_equal(
        "pixels", part(got, 600, k),
        part(once, static_cast<index_t>(few.size()), k % static_cast<index_t>(few.size())));
  }
}

TEST_P(AugmentContract, NoCropsIsNoWork) {
  const Augment a = augment_of(4, 4);
  launch(subject(), backend().augment, a, 1);
}

}  // namespace
}  // namespace vitsnna::contract
