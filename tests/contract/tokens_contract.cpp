// Contract of the position embedding and of the token sequence.
#include "tests/contract/check.h"
#include "tests/oracle/tokens.h"

namespace vitsnna::contract {
namespace {

using kernels::AssembleTokens;
using kernels::AssembleTokensBackward;
using kernels::ResamplePositionEmbedding;
using kernels::ResamplePositionEmbeddingBackward;

VITSNNA_CONTRACT(TokensContract);

struct Grids {
  index_t embed_dim, source_height, source_width, height, width;
  index_t sources() const { return 1 + source_height * source_width; }
  index_t cells() const { return 1 + height * width; }
};
const Grids grids[] = {{8, 28, 28, 12, 12}, {33, 7, 7, 15, 20}, {3, 1, 1, 4, 3},
                       {5, 6, 6, 6, 6},     {16, 4, 5, 4, 9},   {70, 9, 9, 1, 1}};

std::string text(const Grids& g) {
  return std::to_string(g.source_height) + "x" + std::to_string(g.source_width) + " -> " +
         std::to_string(g.height) + "x" + std::to_string(g.width);
}

Values resample(const Subject& subject, const Grids& g, const Values& source, int threads) {
  const auto from = Operand::input(subject, dense(g.sources() * g.embed_dim), source);
  const auto to = Operand::output(subject, dense(g.cells() * g.embed_dim));
  ResamplePositionEmbedding a;
  a.embed_dim = g.embed_dim;
  a.source_height = g.source_height;
  a.source_width = g.source_width;
  a.grid_height = g.height;
  a.grid_width = g.width;
  a.source = from.floats();
  a.output = to.floats();
  launch(subject, subject.backend->resample_position_embedding, a, threads);
  return to.values();
}

TEST_P(TokensContract, PositionEmbeddingIsTheBicubicOfTheOfficialCode) {
  for (const Grids& g : grids) {
    SCOPED_TRACE(text(g));
    const Values source = random_values(g.sources() * g.embed_dim, 1);
    const Values matrix =
        oracle::position_matrix(g.source_height, g.source_width, g.height, g.width);
    const Outputs got = run_on_every_team(
        subject(), [&](int threads) { return Outputs{resample(subject(), g, source, threads)}; });
    expect_close("output", got[0],
                 oracle::apply<double>(matrix, g.cells(), g.sources(), source, g.embed_dim, false),
                 oracle::apply<float>(matrix, g.cells(), g.sources(), source, g.embed_dim, false),
                 4.);
    if (g.source_height == g.height && g.source_width == g.width) {
      expect_equal("copy", got[0], source);
    }
  }
}

/// A ramp over the rows, resampled, tells at which coordinate it was sampled.
TEST_P(TokensContract, PositionEmbeddingSamplesTheCoordinatesOfTheSpecification) {
  const auto ramp_at = [&](index_t side, index_t cell) {
    const Grids g{1, 28, 28, side, side};
    Values source = oracle::zeros(g.sources());
    for (index_t k = 0; k < 28 * 28; ++k) oracle::put(source, 1 + k, static_cast<double>(k / 28));
    return resample(subject(), g, source, 1)[static_cast<std::size_t>(1 + cell * side)];
  };
  EXPECT_NEAR(oracle::source_coordinate(0, 28, 12), .657025, 5e-7);
  EXPECT_NEAR(oracle::source_coordinate(11, 28, 12), 26.111570, 5e-7);
  EXPECT_NEAR(oracle::source_coordinate(0, 28, 60), -.267055, 5e-7);
  EXPECT_NEAR(oracle::source_coordinate(59, 28, 60), 27.220466, 5e-7);
  const auto clamped = [](double coordinate) {
    double value = 0.;
    const double below = std::floor(coordinate);
    for (double tap = below - 1.; tap <= below + 2.; ++tap) {
      value += oracle::cubic(coordinate - tap) * std::clamp(tap, 0., 27.);
    }
    return value;
  };
  EXPECT_NEAR(ramp_at(12, 0), clamped(.657025), 1e-5);
  EXPECT_NEAR(ramp_at(12, 11), clamped(26.111570), 1e-4);
  EXPECT_NEAR(ramp_at(60, 0), clamped(-.267055), 1e-5);
  EXPECT_NEAR(ramp_at(60, 59), clamped(27.220466), 1e-4);
  EXPECT_NEAR(ramp_at(12, 5), clamped(5.5 * 28. / 12.1 - .5), 1e-4);
}

TEST_P(TokensContract, PositionEmbeddingBackwardIsTheTranspose) {
  for (const Grids& g : grids) {
    SCOPED_TRACE(text(g));
    const Values slope = random_values(g.cells() * g.embed_dim, 2);
    const Values ones(static_cast<std::size_t>(g.sources() * g.embed_dim), 1.);
    const Values matrix =
        oracle::position_matrix(g.source_height, g.source_width, g.height, g.width);
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      const auto from = Operand::input(subject(), dense(g.cells() * g.embed_dim), slope);
      const auto to = Operand::updated(subject(), dense(g.sources() * g.embed_dim), ones);
      ResamplePositionEmbeddingBackward a;
      a.embed_dim = g.embed_dim;
      a.source_height = g.source_height;
      a.source_width = g.source_width;
      a.grid_height = g.height;
      a.grid_width = g.width;
      a.output_gradient = from.floats();
      a.source_gradient = to.floats();
      launch(subject(), backend().resample_position_embedding_backward, a, threads);
      return Outputs{to.values()};
    });
    Values want = oracle::apply<double>(matrix, g.cells(), g.sources(), slope, g.embed_dim, true);
    Values naive = oracle::apply<float>(matrix, g.cells(), g.sources(), slope, g.embed_dim, true);
    for (double& v : want) v += 1.;
    for (double& v : naive) v += 1.;
    expect_close("source_gradient", got[0], want, naive, largest(want) + 4.);
    Values gradient = got[0];
    for (double& v : gradient) v -= 1.;
    expect_derivative(
        "d source",
        [&](const Values& x) {
          return dot(oracle::apply<double>(matrix, g.cells(), g.sources(), x, g.embed_dim, false),
                     slope);
        },
        random_values(g.sources() * g.embed_dim, 3), gradient);
  }
}

TEST_P(TokensContract, TokensAreAssembledAndMasked) {
  for (const auto& extents : {std::array<index_t, 3>{1, 1, 8}, {3, 32, 33}, {2, 196, 64}}) {
    const index_t items = extents[0], patches = extents[1], embed_dim = extents[2];
    for (const bool masked : {false, true}) {
      SCOPED_TRACE(testing::Message() << items << "x" << patches << "x" << embed_dim);
      AssembleTokens a;
      a.items = items;
      a.num_patches = patches;
      a.embed_dim = embed_dim;
      const index_t row = embed_dim, tokens = items * (1 + patches);
      Values start = random_values(tokens * row, 1);
      for (index_t item = 0; item < items; ++item) {  // row 0 holds nothing yet
        std::fill_n(start.begin() + item * (1 + patches) * row, row, std::nan(""));
      }
      const Values cls = random_values(row, 2), position = random_values((1 + patches) * row, 3);
      const Values keep = masked ? random_keep(items * patches, 4) : Values{};
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const auto x = Operand::updated(subject(), dense(tokens * row), start);
        const auto c = Operand::input(subject(), dense(row), cls);
        const auto p = Operand::input(subject(), dense((1 + patches) * row), position);
        const auto k =
            Operand::input(subject(), dense(static_cast<index_t>(keep.size()), Storage::u8), keep);
        a.tokens = x.floats();
        a.cls_token = c.floats();
        a.position = p.floats();
        a.patch_keep = masked ? k.bytes() : nullptr;
        launch(subject(), backend().assemble_tokens, a, threads);
        return Outputs{x.values()};
      });
      expect_close("tokens", got[0], oracle::assemble_tokens<double>(a, start, cls, position, keep),
                   oracle::assemble_tokens<float>(a, start, cls, position, keep), 2.);
    }
  }
}

TEST_P(TokensContract, AssembleBackwardSumsOverItems) {
  for (const auto& extents : {std::array<index_t, 3>{1, 1, 8}, {3, 32, 33}, {5, 196, 16}}) {
    const index_t items = extents[0], patches = extents[1], embed_dim = extents[2];
    for (const int wanted : {1, 2, 3}) {  // bit 0: cls, bit 1: position
      SCOPED_TRACE(testing::Message()
                   << items << "x" << patches << "x" << embed_dim << " wanted " << wanted);
      const index_t rows = 1 + patches;
      const Values slope = random_values(items * rows * embed_dim, 1);
      const Values cls_before = random_values(embed_dim, 2);
      const Values position_before = random_values(rows * embed_dim, 3);
      const auto run = [&](index_t count, const Values& dy, const Values& cls_start,
                           const Values& position_start, int threads) {
        const auto gradient = Operand::input(subject(), dense(count * rows * embed_dim), dy);
        const auto cls = Operand::updated(subject(), dense(embed_dim), cls_start);
        const auto position = Operand::updated(subject(), dense(rows * embed_dim), position_start);
        AssembleTokensBackward a;
        a.items = count;
        a.num_patches = patches;
        a.embed_dim = embed_dim;
        a.tokens_gradient = gradient.floats();
        a.cls_gradient = wanted & 1 ? cls.floats() : nullptr;
        a.position_gradient = wanted & 2 ? position.floats() : nullptr;
        launch(subject(), backend().assemble_tokens_backward, a, threads);
        return Outputs{cls.values(), position.values()};
      };
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        return run(items, slope, cls_before, position_before, threads);
      });
      const auto expected = [&](auto number) {
        using T = decltype(number);
        Outputs sums{cls_before, position_before};
        for (index_t item = 0; item < items; ++item) {
          for (index_t k = 0; k < rows * embed_dim; ++k) {
            const T g = oracle::at<T>(slope, item * rows * embed_dim + k);
            if ((wanted & 1) && k < embed_dim)
              oracle::put(sums[0], k, oracle::at<T>(sums[0], k) + g);
            if (wanted & 2) oracle::put(sums[1], k, oracle::at<T>(sums[1], k) + g);
          }
        }
        return sums;
      };
      const Outputs want = expected(0.), naive = expected(0.f);
      expect_close("cls_gradient", got[0], want[0], naive[0], static_cast<double>(items));
      expect_close("position_gradient", got[1], want[1], naive[1], static_cast<double>(items));
      Outputs batched{cls_before, position_before};
      for (index_t item = 0; item < items; ++item) {
        batched = run(1, part(slope, items, item), batched[0], batched[1], 1);
      }
      EXPECT_TRUE(same_bits(batched[0], got[0]) && same_bits(batched[1], got[1]))
          << "items one by one differ from items together";
    }
  }
}

}  // namespace
}  // namespace vitsnna::contract
