// Contract of attention: forward with its masks, and the rows that explanations read.
#include "tests/contract/attention_operands.h"

namespace vitsnna::contract {
namespace {

using kernels::AttentionForward;
using kernels::AttentionGradient;
using kernels::AttentionProbabilities;

VITSNNA_CONTRACT(AttentionContract);

/// Of the forward alone: lengths around a tile's, heads that fill no instantiation.
const AttentionShape forward_shapes[] = {{1, 2, 64, 63, 64},   {2, 1, 64, 65, 127},
                                         {1, 1, 128, 129, 65}, {1, 2, 32, 128, 128},
                                         {1, 1, 40, 6, 129},   {1, 1, 72, 64, 63}};

struct Masks {
  Values query, key;
};

Outputs forward(const Subject& subject, const AttentionShape& s, const AttentionOperands& v,
                const Masks& masks, bool keep_sums, int threads) {
  const index_t width = s.heads * s.head_dim;
  const DType dtype = subject.precision;
  const auto query = Operand::input(subject, third(s.items, s.num_queries, width, dtype), v.query);
  const auto key = Operand::input(subject, third(s.items, s.num_keys, width, dtype), v.key);
  const auto value = Operand::input(subject, third(s.items, s.num_keys, width, dtype), v.value);
  const auto output = Operand::output(subject, strided(s.items, s.num_queries, width, dtype));
  const auto sums = Operand::output(subject, dense(s.items * s.heads * s.num_queries));
  const auto keep = [&](const Values& mask) {
    return Operand::input(subject, dense(static_cast<index_t>(mask.size()), Storage::u8), mask);
  };
  const auto query_keep = keep(masks.query), key_keep = keep(masks.key);
  AttentionForward a;
  a.shape = s;
  a.query = query.matrix();
  a.key = key.matrix();
  a.value = value.matrix();
  a.output = output.matrix();
  a.log_sum_exp = keep_sums ? sums.floats() : nullptr;
  a.query_keep = masks.query.empty() ? nullptr : query_keep.bytes();
  a.key_keep = masks.key.empty() ? nullptr : key_keep.bytes();
  launch(subject, subject.backend->attention_forward, a, threads);
  return {output.values(), sums.values()};
}

TEST_P(AttentionContract, ForwardIsTheSoftmaxOfTheScoresMaskedAfterwards) {
  std::vector<AttentionShape> all(std::begin(attention_shapes), std::end(attention_shapes));
  all.insert(all.end(), std::begin(forward_shapes), std::end(forward_shapes));
  for (const AttentionShape& s : all) {
    for (const int masked : {0, 1, 3}) {  // bit 0: keys, bit 1: queries
      SCOPED_TRACE(text(s) + ", masks " + std::to_string(masked));
      const AttentionOperands v = random_operands(s, precision());
      Masks masks;
      if (masked & 1) masks.key = random_keep(s.items * s.num_keys, 4);
      if (masked & 2) masks.query = random_keep(s.items * s.num_queries, 5);
      const bool keep_sums = masked != 3;
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        return forward(subject(), s, v, masks, keep_sums, threads);
      });
      const auto want = oracle::probabilities<double>(s, v.query, v.key);
      const auto naive = oracle::probabilities<float>(s, v.query, v.key);
      expect_close("output", got[0],
                   oracle::attention_output<double>(s, want.attention, v.value, masks.query,
                                                    masks.key, precision()),
                   oracle::attention_output<float>(s, naive.attention, v.value, masks.query,
                                                   masks.key, precision()),
                   largest(v.value), precision());
      if (keep_sums) {
        expect_close("log_sum_exp", got[1], want.log_sum_exp, naive.log_sum_exp,
                     largest(want.log_sum_exp) + 1.);
      }
    }
  }
}

TEST_P(AttentionContract, ForwardSurvivesScoresFarApart) {
  const AttentionShape s{1, 1, 32, 5, 40};
  AttentionOperands v = random_operands(s, precision());
  for (double& q : v.query)
    q = static_cast<double>(oracle::stored(static_cast<float>(40. * q), precision()));
  const Outputs got = forward(subject(), s, v, {}, true, 1);
  const auto want = oracle::probabilities<double>(s, v.query, v.key);
  const auto naive = oracle::probabilities<float>(s, v.query, v.key);
  expect_close("output", got[0],
               oracle::attention_output<double>(s, want.attention, v.value, {}, {}, precision()),
               oracle::attention_output<float>(s, naive.attention, v.value, {}, {}, precision()),
               // A score of hundreds carries its own rounding into the exponential.
               largest(v.value) * (1. + largest(want.log_sum_exp)), precision());
  expect_close("log_sum_exp", got[1], want.log_sum_exp, naive.log_sum_exp,
               largest(want.log_sum_exp));
}

TEST_P(AttentionContract, AnItemsOutputDoesNotDependOnItsNeighbours) {
  for (const AttentionShape& s :
       {AttentionShape{3, 2, 64, 70, 70}, AttentionShape{3, 2, 64, 1, 70}}) {
    const AttentionOperands v = random_operands(s, precision());
    const Outputs together = forward(subject(), s, v, {}, true, 1);
    AttentionShape one = s;
    one.items = 1;
    for (index_t item = 0; item < 3; ++item) {
      const AttentionOperands alone{part(v.query, 3, item), part(v.key, 3, item),
                                    part(v.value, 3, item)};
      const Outputs got = forward(subject(), one, alone, {}, true, 1);
      EXPECT_TRUE(same_bits(got[0], part(together[0], 3, item))) << text(s) << " item " << item;
      EXPECT_TRUE(same_bits(got[1], part(together[1], 3, item))) << text(s) << " item " << item;
    }
  }
}

TEST_P(AttentionContract, ALargeBatchHasTheBitsOfItsItems) {
  // A backend may cut a large grid into other blocks than a small one.
  for (const index_t head_dim : {64, 96}) {
    const AttentionShape s{34, 4, head_dim, 17, 66};
    AttentionOperands v;
    AttentionShape one = s;
    one.items = 1;
    const AttentionOperands few = random_operands(one, precision());
    for (index_t item = 0; item < s.items; ++item) {  // items alike, rotated by one another
      const auto append = [&](Values& to, const Values& from) {
        const auto middle = from.begin() + item;
        to.insert(to.end(), middle, from.end());
        to.insert(to.end(), from.begin(), middle);
      };
      append(v.query, few.query);
      append(v.key, few.key);
      append(v.value, few.value);
    }
    const Outputs together = forward(subject(), s, v, {}, true, 1);
    for (const index_t item : {index_t{0}, s.items - 1}) {
      const AttentionOperands alone{part(v.query, s.items, item), part(v.key, s.items, item),
                                    part(v.value, s.items, item)};
      const Outputs got = forward(subject(), one, alone, {}, true, 1);
      EXPECT_TRUE(same_bits(got[0], part(together[0], s.items, item))) << text(s) << " " << item;
      EXPECT_TRUE(same_bits(got[1], part(together[1], s.items, item))) << text(s) << " " << item;
    }
  }
}

TEST_P(AttentionContract, ProbabilitiesAreTheRowsOfA) {
  for (const AttentionShape& s : attention_shapes) {
    SCOPED_TRACE(text(s));
    const AttentionOperands v = random_operands(s, precision());
    const index_t width = s.heads * s.head_dim;
    const index_t pairs = s.items * s.heads * s.num_queries * s.num_keys;
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      const auto query =
          Operand::input(subject(), third(s.items, s.num_queries, width, precision()), v.query);
      const auto key =
          Operand::input(subject(), third(s.items, s.num_keys, width, precision()), v.key);
      const auto rows = Operand::output(subject(), dense(pairs));
      AttentionProbabilities a;
      a.shape = s;
      a.query = query.matrix();
      a.key = key.matrix();
      a.probabilities = rows.floats();
      launch(subject(), backend().attention_probabilities, a, threads);
      return Outputs{rows.values()};
    });
    expect_close("probabilities", got[0],
                 oracle::probabilities<double>(s, v.query, v.key).attention,
                 oracle::probabilities<float>(s, v.query, v.key).attention, 1.);
  }
}

Values gradient_rows(const Subject& subject, const AttentionShape& s, index_t gradients,
                     const Values& v, const Values& dO, const Values* mean, float weight,
                     int threads) {
  const index_t width = s.heads * s.head_dim, sets = s.items * gradients;
  const index_t pairs = s.heads * s.num_queries * s.num_keys;
  const auto value =
      Operand::input(subject, third(s.items, s.num_keys, width, subject.precision), v);
  const auto slope =
      Operand::input(subject, strided(sets, s.num_queries, width, subject.precision), dO);
  const auto rows = mean ? Operand::updated(subject, dense(gradients * pairs), *mean)
                         : Operand::output(subject, dense(sets * pairs));
  AttentionGradient a;
  a.shape = s;
  a.gradients = gradients;
  a.value = value.matrix();
  a.output_gradient = slope.matrix();
  a.attention_gradient = rows.floats();
  a.mean_items = mean != nullptr;
  a.weight = weight;
  launch(subject, subject.backend->attention_gradient, a, threads);
  return rows.values();
}

TEST_P(AttentionContract, AttentionGradientIsEachSamplesOrTheirMean) {
  for (const AttentionShape& s : attention_shapes) {
    for (const index_t gradients : {1, 3}) {
      for (const bool mean : {false, true}) {
        SCOPED_TRACE(text(s) + ", " + std::to_string(gradients) + " gradients, mean " +
                     std::to_string(mean));
        const index_t width = s.heads * s.head_dim;
        const index_t pairs = s.heads * s.num_queries * s.num_keys;
        const Values value = random_values(s.items * s.num_keys * width, 3, precision());
        const Values dO =
            random_values(s.items * gradients * s.num_queries * width, 6, precision());
        const Values initial = random_values(gradients * pairs, 7);
        const float weight = mean ? .2f : 1.f;
        const Outputs got = run_on_every_team(subject(), [&](int threads) {
          return Outputs{gradient_rows(subject(), s, gradients, value, dO,
                                       mean ? &initial : nullptr, weight, threads)};
        });
        const auto reduce = [&](const Values& rows, auto number) {
          using T = decltype(number);
          if (!mean) return rows;
          Values sum = initial;
          for (index_t item = 0; item < s.items; ++item) {
            for (index_t k = 0; k < gradients * pairs; ++k) {
              oracle::put(
                  sum, k,
                  oracle::at<T>(sum, k) +
                      static_cast<T>(weight) * oracle::at<T>(rows, item * gradients * pairs + k));
            }
          }
          return sum;
        };
        expect_close("attention_gradient", got[0],
                     reduce(oracle::attention_gradient<double>(s, gradients, value, dO), 0.),
                     reduce(oracle::attention_gradient<float>(s, gradients, value, dO), 0.f),
                     static_cast<double>(s.items) * std::sqrt(static_cast<double>(s.head_dim)));
      }
    }
  }
}

TEST_P(AttentionContract, MeanGradientInTwoBatchesEqualsOne) {
  const AttentionShape s{4, 2, 32, 1, 50};
  const Values value = random_values(4 * 50 * 64, 3, precision());
  const Values dO = random_values(4 * 2 * 64, 6, precision());
  const Values zero = oracle::zeros(2 * 2 * 50);
  const Values whole = gradient_rows(subject(), s, 2, value, dO, &zero, .25f, 1);
  Values sum = zero;
  AttentionShape half = s;
  half.items = 2;
  for (index_t k = 0; k < 2; ++k) {
    sum = gradient_rows(subject(), half, 2, part(value, 2, k), part(dO, 2, k), &sum, .25f, 1);
  }
  EXPECT_TRUE(same_bits(sum, whole));
}

}  // namespace
}  // namespace vitsnna::contract
