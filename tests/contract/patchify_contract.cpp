// Contract of patchify, its transpose, and the noise that goes into it.
#include <limits>

#include "tests/contract/check.h"
#include "tests/oracle/images.h"

namespace vitsnna::contract {
namespace {

using kernels::FillGaussian;
using kernels::GaussianNoise;
using kernels::MinMax;
using kernels::Patchify;
using kernels::UnpatchifyGradient;

VITSNNA_CONTRACT(PatchifyContract);

GaussianNoise some_noise(float sigma) {
  GaussianNoise noise;
  noise.sigma = sigma;
  noise.seed = 0x123456789abcdefull;
  noise.first_sample = 3;
  noise.image_id = 7;
  return noise;
}

Values fill_gaussian(const Subject& subject, const GaussianNoise& noise, index_t samples,
                     index_t elements, int threads) {
  const auto output = Operand::output(subject, dense(samples * elements));
  FillGaussian a;
  a.noise = noise;
  a.samples = samples;
  a.elements = elements;
  a.output = output.floats();
  launch(subject, subject.backend->fill_gaussian, a, threads);
  return output.values();
}

TEST_P(PatchifyContract, GaussianBitsAreThoseOfTheReferenceBlock) {
  for (const index_t elements : {1, 3, 4, 63, 64, 65, 70001}) {
    const GaussianNoise noise = some_noise(.3f);
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      return Outputs{fill_gaussian(subject(), noise, 2, elements, threads)};
    });
    Values want, exact;
    for (std::uint32_t sample = 3; sample < 5; ++sample) {
      for (index_t e = 0; e < elements; ++e) {
        const auto block =
            kernels::gaussian_block(noise, sample, static_cast<std::uint32_t>(e / 4));
        want.push_back(static_cast<double>(.3f * block[static_cast<std::size_t>(e % 4)]));
        exact.push_back(static_cast<double>(.3f) * oracle::normal(noise, sample, e));
      }
    }
    expect_equal("noise", got[0], want);
    expect_close("noise", got[0], exact, exact, .3 * 6.);
  }
}

struct Shape {
  index_t items, channels, height, width, patch_size, grid_height, grid_width;
};
const Shape shapes[] = {{1, 1, 1, 1, 1, 1, 1},
                        {2, 3, 17, 23, 8, 2, 2},
                        {3, 3, 33, 40, 4, 8, 10},
                        {1, 3, 24, 1040, 8, 3, 130},
                        {2, 1, 45, 45, 14, 3, 3}};

struct Options {
  bool per_item_image, interpolate, baseline, noise, gaussian, mask;
};
const Options options[] = {
    {true, false, false, false, false, false}, {false, true, false, false, false, false},
    {false, true, true, false, false, false},  {false, false, false, true, false, false},
    {false, false, false, false, true, false}, {true, false, false, false, false, true},
    {true, true, true, true, true, true}};

oracle::PatchifyOperands random_operands(const Shape& s, const Options& o) {
  const index_t pixels = s.channels * s.height * s.width;
  oracle::PatchifyOperands v;
  v.image = random_values((o.per_item_image ? s.items : 1) * pixels, 1);
  if (o.interpolate) v.alpha = random_values(s.items, 2);
  if (o.baseline) v.baseline = random_values(pixels, 3);
  if (o.noise) v.noise = random_values(s.items * pixels, 4);
  if (o.mask) {
    v.keep = random_keep(s.items * s.grid_height * s.grid_width, 5);
    v.fill = random_values(s.channels, 6);
  }
  return v;
}

Patchify arguments(const Shape& s, const Options& o, DType dtype) {
  Patchify a;
  a.items = s.items;
  a.channels = s.channels;
  a.height = s.height;
  a.width = s.width;
  a.patch_size = s.patch_size;
  a.grid_height = s.grid_height;
  a.grid_width = s.grid_width;
  a.image_stride = o.per_item_image ? s.channels * s.height * s.width : 0;
  if (o.gaussian) a.gaussian = some_noise(.25f);
  a.patches.dtype = dtype;
  return a;
}

Values patchify(const Subject& subject, Patchify a, const oracle::PatchifyOperands& v,
                int threads) {
  const auto operand = [&](const Values& values) {
    return Operand::input(subject, dense(static_cast<index_t>(values.size())), values);
  };
  const auto image = operand(v.image), baseline = operand(v.baseline), alpha = operand(v.alpha);
  const auto noise = operand(v.noise), fill = operand(v.fill), extremes = operand(v.extremes);
  const auto keep =
      Operand::input(subject, dense(static_cast<index_t>(v.keep.size()), Storage::u8), v.keep);
  const auto patches =
      Operand::output(subject, strided(a.items, a.grid_height * a.grid_width,
                                       a.channels * a.patch_size * a.patch_size, a.patches.dtype));
  a.image = image.floats();
  a.baseline = v.baseline.empty() ? nullptr : baseline.floats();
  a.alpha = v.alpha.empty() ? nullptr : alpha.floats();
  a.noise = v.noise.empty() ? nullptr : noise.floats();
  a.patch_keep = v.keep.empty() ? nullptr : keep.bytes();
  a.gaussian.extremes = v.extremes.empty() ? nullptr : extremes.floats();
  a.fill = v.fill.empty() ? nullptr : fill.floats();
  a.patches = patches.matrix();
  launch(subject, subject.backend->patchify, a, threads);
  return patches.values();
}

std::string text(const Shape& s) {
  return std::to_string(s.items) + "x" + std::to_string(s.channels) + "x" +
         std::to_string(s.height) + "x" + std::to_string(s.width) + " patch " +
         std::to_string(s.patch_size);
}

TEST_P(PatchifyContract, PatchesInterpolateAddNoiseThenMask) {
  for (const Shape& s : shapes) {
    for (const Options& o : options) {
      SCOPED_TRACE(text(s) + " options " + std::to_string(&o - options));
      const Patchify a = arguments(s, o, precision());
      const auto v = random_operands(s, o);
      const Outputs got = run_on_every_team(
          subject(), [&](int threads) { return Outputs{patchify(subject(), a, v, threads)}; });
      expect_close("patches", got[0], oracle::patchify<double>(a, v), oracle::patchify<float>(a, v),
                   4., precision());
    }
  }
}

TEST_P(PatchifyContract, GeneratedNoiseEqualsTheSameNoiseGiven) {
  const Shape& s = shapes[2];
  const Options generated{false, false, false, false, true, false};
  const Patchify a = arguments(s, generated, precision());
  auto v = random_operands(s, generated);
  const Values inside = patchify(subject(), a, v, 1);
  v.noise = fill_gaussian(subject(), a.gaussian, s.items, s.channels * s.height * s.width, 1);
  Patchify given = a;
  given.gaussian = {};
  EXPECT_TRUE(same_bits(patchify(subject(), given, v, 1), inside));
}

/// {least, greatest} as the op finds them.
Values min_max(const Subject& subject, const Values& values, int threads) {
  const index_t elements = static_cast<index_t>(values.size());
  const auto input = Operand::input(subject, dense(elements), values);
  const auto extremes = Operand::output(subject, dense(2));
  MinMax a;
  a.elements = elements;
  a.input = input.floats();
  a.extremes = extremes.floats();
  launch(subject, subject.backend->min_max, a, threads);
  return extremes.values();
}

TEST_P(PatchifyContract, MinMaxFindsTheExtremesWhereverTheyAre) {
  for (const index_t elements : {1, 2, 31, 32, 33, 1023, 1025, 4099, 70001}) {
    Values values = random_values(elements, 1);
    const auto check = [&](const char* name) {
      SCOPED_TRACE(testing::Message() << name << " of " << elements);
      const Outputs got = run_on_every_team(
          subject(), [&](int threads) { return Outputs{min_max(subject(), values, threads)}; });
      expect_equal("extremes", got[0], oracle::min_max(values));
    };
    check("random");
    values.back() = 7.;  // the tail is where an element is most easily lost
    check("greatest last");
    values.back() = -7.;
    check("least last");
    if (elements < 3) continue;
    values.front() = std::nan("");
    values[1] = std::numeric_limits<double>::infinity();
    check("with a NaN and an infinity");
  }
  const Values all_negative(100, -3.);
  expect_equal("constant", min_max(subject(), all_negative, 1), {-3., -3.});
}

/// fp32 of a product in double, to the bit: an image's noise may not depend on where its deviation
/// was worked out.
TEST_P(PatchifyContract, TheDeviationReadOnTheDeviceIsTheOneGiven) {
  const Values image = random_values(3 * 33 * 40, 9, DType::f32, 2.3);
  const Values found = min_max(subject(), image, 1);
  const auto extremes = Operand::input(subject(), dense(2), found);
  for (const double level : {.15, 1. / 3., 1e-3, 0.}) {
    SCOPED_TRACE(level);
    GaussianNoise on_device = some_noise(-1.f), given = some_noise(0.f);
    on_device.level = level;
    on_device.extremes = extremes.floats();
    given.sigma = static_cast<float>(level * (found[1] - found[0]));
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      return Outputs{fill_gaussian(subject(), on_device, 2, 1003, threads)};
    });
    expect_equal("noise", got[0], fill_gaussian(subject(), given, 2, 1003, 1));

    const Options o{true, true, true, false, false, false};
    Patchify a = arguments(shapes[2], o, precision());
    auto v = random_operands(shapes[2], o);
    a.gaussian = given;
    const Values wanted = patchify(subject(), a, v, 1);
    a.gaussian = on_device;
    v.extremes = found;
    const Outputs patches = run_on_every_team(
        subject(), [&](int threads) { return Outputs{patchify(subject(), a, v, threads)}; });
    expect_equal("patches", patches[0], wanted);
    expect_close("patches", patches[0], oracle::patchify<double>(a, v),
                 oracle::patchify<float>(a, v), 4., precision());
  }
}

TEST_P(PatchifyContract, NoiseInTwoBatchesEqualsOne) {
  const Shape& s = shapes[2];
  const Options o{false, false, false, false, true, false};
  Patchify a = arguments(s, o, precision());
  const auto v = random_operands(s, o);
  const Values together = patchify(subject(), a, v, 1);
  a.items = 1;
  for (index_t item = 0; item < s.items; ++item) {
    EXPECT_TRUE(same_bits(patchify(subject(), a, v, 1), part(together, s.items, item)));
    ++a.gaussian.first_sample;
  }
}

TEST_P(PatchifyContract, UnpatchifyIsTheTranspose) {
  for (const Shape& s : shapes) {
    for (const bool sum : {false, true}) {
      SCOPED_TRACE(text(s) + " sum " + std::to_string(sum));
      const index_t pixels = s.channels * s.height * s.width;
      const index_t cells = s.grid_height * s.grid_width;
      const index_t columns = s.channels * s.patch_size * s.patch_size;
      UnpatchifyGradient a;
      a.channels = s.channels;
      a.height = s.height;
      a.width = s.width;
      a.patch_size = s.patch_size;
      a.grid_height = s.grid_height;
      a.grid_width = s.grid_width;
      a.sum_items = sum;
      a.weight = .7f;
      const Values slope = random_values(s.items * cells * columns, 1);
      const Values initial = random_values(pixels, 2);
      const auto run = [&](index_t items, const Values& gradient, const Values& start,
                           int threads) {
        const auto from =
            Operand::input(subject(), strided(items, cells, columns, DType::f32), gradient);
        const auto to = sum ? Operand::updated(subject(), dense(pixels), start)
                            : Operand::output(subject(), dense(items * pixels));
        UnpatchifyGradient args = a;
        args.items = items;
        args.patches_gradient = from.matrix();
        args.image_gradient = to.floats();
        launch(subject(), backend().unpatchify_gradient, args, threads);
        return to.values();
      };
      const Outputs got = run_on_every_team(
          subject(), [&](int threads) { return Outputs{run(s.items, slope, initial, threads)}; });
      a.items = s.items;
      expect_close("image_gradient", got[0], oracle::unpatchify_gradient<double>(a, slope, initial),
                   oracle::unpatchify_gradient<float>(a, slope, initial),
                   static_cast<double>(s.items));
      if (sum) {
        Values batched = initial;
        for (index_t item = 0; item < s.items; ++item) {
          batched = run(1, part(slope, s.items, item), batched, 1);
        }
        EXPECT_TRUE(same_bits(batched, got[0])) << "items one by one differ from items together";
        continue;
      }
      Patchify forward = arguments(s, options[0], DType::f32);
      Values gradient = got[0];
      for (double& v : gradient) v /= static_cast<double>(.7f);
      expect_derivative(
          "d image",
          [&](const Values& x) {
            oracle::PatchifyOperands v;
            v.image = x;
            return dot(oracle::patchify<double>(forward, v), slope);
          },
          random_values(s.items * pixels, 3), gradient);
    }
  }
}

}  // namespace
}  // namespace vitsnna::contract
