// Contract of the ops on 8-bit pictures: resizing as Pillow does, overlays.
#include "tests/contract/check.h"
#include "tests/contract/pillow_known_answers.h"
#include "tests/oracle/images.h"

namespace vitsnna::contract {
namespace {

using kernels::Blend;
using kernels::RenderOverlay;
using kernels::ResampleNormalize;
using kernels::Upsampling;

VITSNNA_CONTRACT(PicturesContract);

/// Bytes of a picture: noise, and flat black and white bars that make the filter overshoot.
Values random_bytes(index_t count, std::uint64_t seed) {
  Values values = random_values(count, seed);
  for (std::size_t k = 0; k < values.size(); ++k) {
    const double noise = std::floor((values[k] + 1.) * 127.999);
    values[k] = k / 40 % 3 == 0 ? noise : k / 40 % 3 == 1 ? 0. : 255.;
  }
  return values;
}

Outputs resample(const Subject& subject, ResampleNormalize a, const Values& source, int threads) {
  const index_t pixels = a.crop_height * a.crop_width * 3;
  const auto from =
      Operand::input(subject, dense(static_cast<index_t>(source.size()), Storage::u8), source);
  const auto floats = Operand::output(subject, dense(pixels));
  const auto bytes = Operand::output(subject, dense(pixels, Storage::u8));
  a.source = from.bytes();
  a.output = floats.floats();
  a.resized = bytes.bytes();
  launch(subject, subject.backend->resample_normalize, a, threads);
  a.resized = nullptr;
  launch(subject, subject.backend->resample_normalize, a, threads);
  const auto bytes_alone = Operand::output(subject, dense(pixels, Storage::u8));
  a.output = nullptr;
  a.resized = bytes_alone.bytes();
  launch(subject, subject.backend->resample_normalize, a, threads);
  EXPECT_TRUE(same_bits(bytes.values(), bytes_alone.values()));
  return {floats.values(), bytes.values()};
}

struct Sizes {
  index_t source_height, source_width, height, width, top, left, crop_height, crop_width;
};

TEST_P(PicturesContract, ResizedCropIsPillowsToTheBit) {
  for (const Sizes& s : {Sizes{1, 1, 1, 1, 0, 0, 1, 1}, Sizes{1, 1, 5, 7, 0, 0, 5, 7},
                         Sizes{40, 30, 40, 30, 0, 0, 40, 30}, Sizes{40, 30, 40, 17, 3, 2, 20, 9},
                         Sizes{31, 50, 67, 50, 60, 5, 7, 40}, Sizes{64, 48, 9, 7, 0, 0, 9, 7},
                         Sizes{23, 19, 70, 300, 11, 13, 50, 280}, Sizes{90, 200, 1, 1, 0, 0, 1, 1},
                         Sizes{77, 33, 20, 60, 5, 10, 15, 50}}) {
    SCOPED_TRACE(testing::Message() << s.source_height << "x" << s.source_width << " -> "
                                    << s.height << "x" << s.width);
    ResampleNormalize a;
    a.source_height = s.source_height;
    a.source_width = s.source_width;
    a.resized_height = s.height;
    a.resized_width = s.width;
    a.crop_top = s.top;
    a.crop_left = s.left;
    a.crop_height = s.crop_height;
    a.crop_width = s.crop_width;
    for (std::size_t c = 0; c < 3; ++c) {
      a.mean[c] = .4f + .02f * static_cast<float>(c);
      a.deviation[c] = .2f + .01f * static_cast<float>(c);
    }
    const Values source = random_bytes(s.source_height * s.source_width * 3, 1);
    const Outputs got = run_on_every_team(
        subject(), [&](int threads) { return resample(subject(), a, source, threads); });
    const Values want = oracle::resample(a, source);
    expect_equal("resized", got[1], want);
    Values normalised = oracle::zeros(s.crop_height * s.crop_width * 3);
    const index_t plane = s.crop_height * s.crop_width;
    for (index_t pixel = 0; pixel < plane; ++pixel) {
      for (index_t c = 0; c < 3; ++c) {
        const double value = oracle::at(want, pixel * 3 + c) / 255.;
        oracle::put(normalised, c * plane + pixel,
                    (value - static_cast<double>(a.mean[c])) / static_cast<double>(a.deviation[c]));
      }
    }
    expect_close("output", got[0], normalised, normalised, 1. / .2);
  }
}

TEST_P(PicturesContract, PillowsOwnResultsAreMet) {
  for (const PillowKnownAnswer& known : pillow_known_answers()) {
    SCOPED_TRACE(testing::Message() << known.source_height << "x" << known.source_width << " -> "
                                    << known.height << "x" << known.width);
    ResampleNormalize a;
    a.source_height = known.source_height;
    a.source_width = known.source_width;
    a.resized_height = a.crop_height = known.height;
    a.resized_width = a.crop_width = known.width;
    Values source;
    for (index_t k = 0; k < known.source_height * known.source_width * 3; ++k) {
      source.push_back(static_cast<double>(k * k * 7 % 251 ^ (k / 5 % 256)));
    }
    for (double& v : source) v = std::min(v, 255.);
    expect_equal("resized", resample(subject(), a, source, 1)[1], known.resized);
  }
}

/// Rounds as the op does, and counts how far the op is from it: a value on the edge of a rounding
/// or of a colour may fall to either side, one level off; nothing else may.
void expect_picture(const Values& actual, const Values& exact, double level) {
  ASSERT_EQ(actual.size(), exact.size());
  index_t off = 0;
  for (std::size_t k = 0; k < actual.size(); ++k) {
    const double error = std::abs(actual[k] - exact[k]);
    ASSERT_LE(error, .5001 + level)
        << "element " << k << ": " << actual[k] << ", wanted " << exact[k];
    off += error > .5001;
  }
  EXPECT_LE(static_cast<double>(off), .01 * static_cast<double>(actual.size()) + 3.);
}

TEST_P(PicturesContract, OverlaysAreUpsampledStretchedColouredAndBlended) {
  Values colormap;  // neighbouring entries differ by one level at most
  for (int k = 0; k < 256; ++k) {
    colormap.push_back(k);
    colormap.push_back(255 - k);
    colormap.push_back(k / 2);
  }
  struct Shape {
    index_t grid_height, grid_width, height, width;
  };
  for (const Shape& s :
       {Shape{1, 1, 1, 1}, Shape{3, 5, 24, 40}, Shape{7, 4, 50, 31}, Shape{20, 20, 10, 7}}) {
    for (const Upsampling upsampling : {Upsampling::bilinear, Upsampling::nearest}) {
      for (const Blend blend : {Blend::blend, Blend::add}) {
        for (const bool over_image : {false, true}) {
          SCOPED_TRACE(testing::Message()
                       << s.grid_height << "x" << s.grid_width << " -> " << s.height << "x"
                       << s.width << " upsampling " << static_cast<int>(upsampling) << " blend "
                       << static_cast<int>(blend) << " image " << over_image);
          const Values map = random_values(s.grid_height * s.grid_width, 1, DType::f32, 5.);
          const Values image = over_image ? random_bytes(s.height * s.width * 3, 2) : Values{};
          RenderOverlay a;
          a.grid_height = s.grid_height;
          a.grid_width = s.grid_width;
          a.height = s.height;
          a.width = s.width;
          a.upsampling = upsampling;
          a.blend = blend;
          a.alpha = .3f;
          const Outputs got = run_on_every_team(subject(), [&](int threads) {
            const auto m = Operand::input(subject(), dense(static_cast<index_t>(map.size())), map);
            const auto i = Operand::input(
                subject(), dense(static_cast<index_t>(image.size()), Storage::u8), image);
            const auto c = Operand::input(subject(), dense(768, Storage::u8), colormap);
            const auto o = Operand::output(subject(), dense(s.height * s.width * 3, Storage::u8));
            a.map = m.floats();
            a.image = over_image ? i.bytes() : nullptr;
            a.colormap = c.bytes();
            a.output = o.bytes();
            launch(subject(), backend().render_overlay, a, threads);
            return Outputs{o.values()};
          });
          expect_picture(got[0], oracle::render(a, map, image, colormap), 1.);
        }
      }
    }
  }
}

TEST_P(PicturesContract, AConstantMapIsTheFirstColour) {
  Values colormap(768, 9.);
  colormap[0] = 1.;
  colormap[1] = 2.;
  colormap[2] = 3.;
  const auto map = Operand::input(subject(), dense(4), Values(4, -2.5));
  const auto colours = Operand::input(subject(), dense(768, Storage::u8), colormap);
  const auto output = Operand::output(subject(), dense(6 * 6 * 3, Storage::u8));
  RenderOverlay a;
  a.grid_height = a.grid_width = 2;
  a.height = a.width = 6;
  a.map = map.floats();
  a.colormap = colours.bytes();
  a.output = output.bytes();
  launch(subject(), backend().render_overlay, a, 1);
  Values want;
  for (int pixel = 0; pixel < 36; ++pixel) want.insert(want.end(), {1., 2., 3.});
  expect_equal("output", output.values(), want);
}

}  // namespace
}  // namespace vitsnna::contract
