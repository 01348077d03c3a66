// Contract of the optimiser steps: several steps over a block of tensors of all kinds.
#include <cstring>

#include "tests/contract/check.h"
#include "tests/oracle/training.h"

namespace vitsnna::contract {
namespace {

using kernels::AdamW;
using kernels::ExponentialAverage;
using kernels::GradientNorms;
using kernels::ParameterSegment;
using kernels::Sgd;
using kernels::StepSettings;

VITSNNA_CONTRACT(OptimizerContract);

/// A struct in device memory, as bytes of the suite's operands.
template <class T>
Operand device_structs(const Subject& subject, const std::vector<T>& structs) {
  Values bytes(structs.size() * sizeof(T));
  std::vector<std::uint8_t> raw(bytes.size());
  std::memcpy(raw.data(), structs.data(), raw.size());
  for (std::size_t k = 0; k < raw.size(); ++k) bytes[k] = static_cast<double>(raw[k]);
  return Operand::input(subject, dense(static_cast<index_t>(bytes.size()), Storage::u8), bytes);
}

/// Tensors of one element, of a few, of more than one chunk; one undecayed, one that a schedule
/// freezes, one that never moves, one that learns at half the rate.
struct Block {
  Block() {
    for (const index_t count :
         {index_t{1}, index_t{48}, index_t{70001}, index_t{513}, index_t{64}}) {
      ParameterSegment segment;
      segment.offset = elements;
      segment.count = count;
      table.push_back(segment);
      elements += (count + 15) / 16 * 16;
    }
    table[0].weight_decay_scale = 0.f;
    table[1].freezable = 1.f;
    table[3].learning_rate_scale = .5f;
    table[4].always_frozen = 1.f;
  }
  /// Values in the segments, zeros in the padding.
  Values values(std::uint64_t seed, double scale = 1.) const {
    Values all = random_values(elements, seed, DType::f32, scale);
    Values result = oracle::zeros(elements);
    for (const ParameterSegment& s : table) {
      std::copy_n(all.begin() + s.offset, s.count, result.begin() + s.offset);
    }
    return result;
  }
  kernels::ParameterBlock device(const Operand& segments) const {
    return {static_cast<index_t>(table.size()), elements,
            static_cast<const ParameterSegment*>(segments.data())};
  }
  std::vector<ParameterSegment> table;
  index_t elements = 0;
};

std::vector<StepSettings> settings_of_steps() {
  std::vector<StepSettings> steps(4);
  for (std::size_t k = 0; k < steps.size(); ++k) {
    steps[k].learning_rate = .01f * static_cast<float>(k);  // the first is 0: nothing moves
    steps[k].weight_decay = .04f + .1f * static_cast<float>(k);
    steps[k].frozen = k < 2 ? 1.f : 0.f;
  }
  return steps;
}

enum class Kind { adamw, sgd };

/// Parameters, moments, norms, moves and the flag after a few steps.
Outputs optimise(const Subject& subject, const Block& block, Kind kind, int threads) {
  const auto table = device_structs(subject, block.table);
  const auto count = static_cast<index_t>(block.table.size());
  const auto parameters = Operand::updated(subject, dense(block.elements), block.values(1));
  const auto first =
      Operand::updated(subject, dense(block.elements), oracle::zeros(block.elements));
  const auto second =
      Operand::updated(subject, dense(block.elements), oracle::zeros(block.elements));
  const auto norms = Operand::updated(subject, dense(count), oracle::zeros(count));
  const auto moved = Operand::updated(subject, dense(count), oracle::zeros(count));
  const auto flag = Operand::updated(subject, dense(1), {0.});
  std::uint64_t seed = 10;
  for (const StepSettings& step : settings_of_steps()) {
    const auto settings = device_structs(subject, std::vector<StepSettings>{step});
    const auto gradients = Operand::input(subject, dense(block.elements), block.values(seed++, .1));
    GradientNorms n;
    n.block = block.device(table);
    n.gradients = gradients.floats();
    n.settings = static_cast<const StepSettings*>(settings.data());
    n.norms = norms.floats();
    n.steps = moved.floats();
    n.non_finite = flag.floats();
    launch(subject, subject.backend->gradient_norms, n, threads);
    if (kind == Kind::adamw) {
      AdamW a;
      a.block = n.block;
      a.settings = n.settings;
      a.norms = n.norms;
      a.steps = n.steps;
      a.gradients = n.gradients;
      a.parameters = parameters.floats();
      a.first_moment = first.floats();
      a.second_moment = second.floats();
      a.clip = 3.f;
      launch(subject, subject.backend->adamw, a, threads);
    } else {
      Sgd a;
      a.block = n.block;
      a.settings = n.settings;
      a.norms = n.norms;
      a.gradients = n.gradients;
      a.parameters = parameters.floats();
      a.velocity = first.floats();
      launch(subject, subject.backend->sgd, a, threads);
    }
  }
  return {parameters.values(), first.values(), second.values(),
          norms.values(),      moved.values(), flag.values()};
}

template <class T>
oracle::OptimizerState expected(const Block& block, Kind kind) {
  const auto count = static_cast<index_t>(block.table.size());
  oracle::OptimizerState state{block.values(1), oracle::zeros(block.elements),
                               oracle::zeros(block.elements), oracle::zeros(count),
                               oracle::zeros(count)};
  std::uint64_t seed = 10;
  for (const StepSettings& step : settings_of_steps()) {
    const Values gradients = block.values(seed++, .1);
    oracle::gradient_norms<T>(block.table, step, gradients, state);
    AdamW adamw;
    adamw.clip = 3.f;
    if (kind == Kind::adamw) oracle::adamw<T>(adamw, block.table, step, gradients, state);
    if (kind == Kind::sgd) oracle::sgd<T>(Sgd(), block.table, step, gradients, state);
  }
  return state;
}

TEST_P(OptimizerContract, StepsAreTheFormulas) {
  if (precision() != DType::f32) skip("optimiser state is fp32 whatever the products are");
  const Block block;
  for (const Kind kind : {Kind::adamw, Kind::sgd}) {
    SCOPED_TRACE(kind == Kind::adamw ? "AdamW" : "SGD");
    const Outputs got = run_on_every_team(
        subject(), [&](int threads) { return optimise(subject(), block, kind, threads); });
    const auto want = expected<double>(block, kind), naive = expected<float>(block, kind);
    expect_close("parameters", got[0], want.parameters, naive.parameters, 1.);
    expect_close("first moment", got[1], want.first, naive.first, largest(want.first));
    expect_close("second moment", got[2], want.second, naive.second, largest(want.second));
    for (std::size_t s = 0; s < block.table.size(); ++s) {
      expect_close("norm", {got[3][s]}, {want.norms[s]}, {want.norms[s]}, want.norms[s]);
    }
    expect_equal("moves", got[4], want.steps);
    EXPECT_EQ(got[5][0], 0.);
  }
}

/// The tensor that never moves, and the frozen one while it is frozen, keep their bits.
TEST_P(OptimizerContract, WhatStandsStillKeepsItsBits) {
  if (precision() != DType::f32) skip("optimiser state is fp32 whatever the products are");
  const Block block;
  const Values before = block.values(1);
  const Outputs got = optimise(subject(), block, Kind::adamw, 1);
  const ParameterSegment& still = block.table[4];
  for (index_t i = still.offset; i < still.offset + still.count; ++i) {
    const auto k = static_cast<std::size_t>(i);
    ASSERT_EQ(got[0][k], before[k]);
    ASSERT_EQ(got[1][k], 0.);
  }
  EXPECT_EQ(got[4], (Values{4, 2, 4, 4, 0}));
}

TEST_P(OptimizerContract, NotANumberIsNoticed) {
  if (precision() != DType::f32) skip("optimiser state is fp32 whatever the products are");
  const Block block;
  for (const double bad : {std::nan(""), static_cast<double>(INFINITY)}) {
    const auto table = device_structs(subject(), block.table);
    const auto settings = device_structs(subject(), std::vector<StepSettings>(1));
    Values values = block.values(1);
    values[static_cast<std::size_t>(block.table[2].offset + 70000)] = bad;
    const auto gradients = Operand::input(subject(), dense(block.elements), values);
    const auto count = static_cast<index_t>(block.table.size());
    const auto norms = Operand::output(subject(), dense(count));
    const auto moved = Operand::updated(subject(), dense(count), oracle::zeros(count));
    const auto flag = Operand::updated(subject(), dense(1), {0.});
    GradientNorms n;
    n.block = block.device(table);
    n.gradients = gradients.floats();
    n.settings = static_cast<const StepSettings*>(settings.data());
    n.norms = norms.floats();
    n.steps = moved.floats();
    n.non_finite = flag.floats();
    launch(subject(), backend().gradient_norms, n, 1);
    EXPECT_EQ(flag.values()[0], 1.);
    EXPECT_FALSE(std::isfinite(norms.values()[2]));
  }
}

TEST_P(OptimizerContract, ExponentialAverageIsTheRecurrence) {
  if (precision() != DType::f32) skip("the teacher is fp32 whatever the products are");
  for (const index_t count : {index_t{1}, index_t{100}, index_t{70003}}) {
    StepSettings step;
    step.average_momentum = .996f;
    const Values values = random_values(count, 1), average = random_values(count, 2);
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      const auto settings = device_structs(subject(), std::vector<StepSettings>{step});
      const auto from = Operand::input(subject(), dense(count), values);
      const auto to = Operand::updated(subject(), dense(count), average);
      ExponentialAverage a;
      a.elements = count;
      a.settings = static_cast<const StepSettings*>(settings.data());
      a.values = from.floats();
      a.average = to.floats();
      launch(subject(), backend().exponential_average, a, threads);
      return Outputs{to.values()};
    });
    const auto momentum = static_cast<double>(step.average_momentum);
    Values want;
    for (std::size_t k = 0; k < values.size(); ++k) {
      want.push_back(momentum * average[k] + (1 - momentum) * values[k]);
    }
    expect_close("average", got[0], want, oracle::rounded(want, DType::f32), 1.);
  }
}

}  // namespace
}  // namespace vitsnna::contract
