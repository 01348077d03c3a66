// A whole run of DINO on a set of imaginary pictures: it learns, goes on bit for bit, and stops at
// a number that is not finite.
#include "train/dino/pretraining.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "tests/support/expect_error.h"
#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"

namespace vitsnna::train {
namespace {

using engine::Queue;

Dataset imaginary(index_t count) {
  Dataset dataset;
  for (index_t k = 0; k < count; ++k) {
    dataset.samples.push_back({std::to_string(k), std::to_string(k)});
  }
  return dataset;
}

/// Stripes whose direction, width and colour belong to the picture.
Image imagined(const std::string& path, index_t = 0) {
  const index_t k = std::stoi(path);
  Image image{60, 72, {}};
  for (index_t y = 0; y < image.height; ++y) {
    for (index_t x = 0; x < image.width; ++x) {
      const bool stripe = (k % 2 == 0 ? x : y) / (3 + k % 5) % 2 == 0;
      for (index_t c = 0; c < 3; ++c) {
        image.rgb.push_back(static_cast<std::uint8_t>(stripe ? (k * 37 + c * 71) % 256 : 30 * c));
      }
    }
  }
  return image;
}

PretrainOptions small_options() {
  PretrainOptions options;
  options.epochs = 4;
  options.batch = 4;
  options.learning_rate = .03;
  options.warmup_epochs = 1;
  options.teacher_momentum = .9;
  options.drop_path = .3;
  options.head.hidden = 48;
  options.head.bottleneck = 16;
  options.head.out_dim = 64;
  options.crops.global = {48, 48};
  options.crops.local = {24, 24};
  options.crops.locals = 2;
  options.seed = 3;
  return options;
}

model::Checkpoint small_backbone(bool with_head) {
  model::Checkpoint checkpoint;
  checkpoint.config = test::small_config();
  checkpoint.config.num_classes = with_head ? 4 : 0;
  checkpoint.config.depth = 2;
  checkpoint.tensors = test::small_tensors(checkpoint.config, 1);
  return checkpoint;
}

struct SmallRun {
  explicit SmallRun(const PretrainOptions& options) : SmallRun(options, small_backbone(true)) {}
  SmallRun(const PretrainOptions& options, const model::Checkpoint& backbone,
           const engine::Device& device = test::test_device())
      : dataset(imaginary(16)),
        queue(device, 1),
        alone(single_process()),
        training(queue, *alone, options, backbone, dataset, imagined) {}
  Dataset dataset;
  Queue queue;
  std::unique_ptr<Communicator> alone;
  Pretraining training;
};

void expect_same(const RunState& a, const RunState& b) {
  EXPECT_EQ(a.steps, b.steps);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_EQ(tensor.to_floats(), b.tensors.at(name).to_floats()) << name;
  }
}

/// With the teacher and its centre held still the student has something fixed to learn.
TEST(Pretraining, TheStudentLearnsWhatATeacherThatStandsStillSays) {
  PretrainOptions options = small_options();
  options.epochs = 20;
  options.learning_rate = .05;
  options.head.bottleneck = 256;  // short rows, which turn fast
  options.teacher_momentum = 1.;
  options.learner.centre_momentum = 1.f;
  SmallRun run(options);
  EXPECT_EQ(run.training.steps(), 20 * 4);
  double first = 0, last = 0;
  while (run.training.done() < run.training.steps()) {
    const index_t step = run.training.done();
    const DinoReport report = run.training.step();
    ASSERT_TRUE(report.finite);
    EXPECT_EQ(report.centre_norm, 0);
    if (step < 8) first += report.divergence;
    if (step >= run.training.steps() - 8) last += report.divergence;
  }
  EXPECT_LT(last, .5 * first);
}

TEST(Pretraining, GoesOnBitForBitFromAnyCheckpoint) {
  SmallRun whole(small_options());
  std::vector<RunState> states;
  while (whole.training.done() < 6) {
    states.push_back(whole.training.state());
    whole.training.step();
  }
  for (const RunState& state : {states[0], states[3], states[5]}) {
    SmallRun resumed(small_options());
    resumed.training.restore(state, "checkpoint");
    while (resumed.training.done() < 6) resumed.training.step();
    expect_same(resumed.training.state(), whole.training.state());
  }
}

TEST(Pretraining, PartsOfABatchSeeItsImagesAndComeToItsWeights) {
  PretrainOptions options = small_options();
  SmallRun whole(options);
  options.accumulate = 2;
  SmallRun parts(options);
  for (int step = 0; step < 3; ++step) {
    const DinoReport a = whole.training.step(), b = parts.training.step();
    EXPECT_NEAR(a.loss, b.loss, 2e-5 * a.loss) << step;
  }
  SmallRun resumed(options);  // the whole batches' checkpoint goes on in parts
  resumed.training.restore(whole.training.state(), "checkpoint");
  EXPECT_NEAR(resumed.training.step().loss, whole.training.step().loss, 1e-3);
}

index_t allocations = 0;

/// The device under test, where each block of its memory is counted.
engine::Device counting_device() {
  static const engine::Device tested = test::test_device();
  static const kernels::Backend backend = [] {
    kernels::Backend table = *tested.backend;
    table.allocate = [](index_t bytes) {
      ++allocations;
      return tested.backend->allocate(bytes);
    };
    return table;
  }();
  engine::Device device = tested;
  device.backend = &backend;
  return device;
}

/// Four more steps of two parts each, across the end of an epoch.
TEST(Pretraining, TakesNoDeviceMemoryAfterItsFirstStep) {
  PretrainOptions options = small_options();
  options.accumulate = 2;
  SmallRun run(options, small_backbone(true), counting_device());
  run.training.step();
  const index_t after_the_first = allocations;
  EXPECT_GT(after_the_first, 0);
  while (run.training.done() < 5) run.training.step();
  EXPECT_EQ(allocations, after_the_first);
}

/// To the bit, numbers that are none too.
void expect_same(const DinoReport& a, const DinoReport& b) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  EXPECT_EQ(bits(a.loss), bits(b.loss));
  EXPECT_EQ(bits(a.teacher_entropy), bits(b.teacher_entropy));
  EXPECT_EQ(bits(a.gradient_norm), bits(b.gradient_norm));
  EXPECT_EQ(bits(a.centre_norm), bits(b.centre_norm));
  EXPECT_EQ(a.finite, b.finite);
}

TEST(Pretraining, AStepIsAFunctionOfItsStateAndInputs) {
  PretrainOptions options = small_options();
  options.accumulate = 2;
  SmallRun run(options);
  while (run.training.done() < 3) run.training.step();
  const RunState before = run.training.state();
  const Tensors inputs = run.training.inputs();
  EXPECT_EQ(inputs.at("part-1/global").shape, (std::vector<std::int64_t>{4, 3, 48, 48}));
  EXPECT_EQ(inputs.at("part-1/local").shape, (std::vector<std::int64_t>{4, 3, 24, 24}));
  EXPECT_EQ(inputs.at("part-1/images").elements(), 2);
  SmallRun again(options);
  again.training.restore(before, "state");
  expect_same(again.training.replay(inputs, "inputs"), run.training.step());
  expect_same(again.training.state(), run.training.state());
  expect_same(again.training.step(), run.training.step());  // from the data again
}

TEST(Pretraining, AStepThatIsNotFiniteLeavesTheStateAndCanBeTakenAgain) {
  PretrainOptions options = small_options();
  options.accumulate = 2;
  options.learning_rate = 1e30;
  options.warmup_epochs = 0;
  SmallRun run(options);
  RunState before;
  DinoReport report;
  do {
    ASSERT_LT(run.training.done(), run.training.steps());
    before = run.training.state();
    report = run.training.step();
  } while (report.finite);
  expect_same(run.training.state(), before);  // the counts of moves too
  SmallRun again(options);
  again.training.restore(before, "state");
  const Tensors inputs = run.training.inputs();
  expect_same(again.training.replay(inputs, "inputs"), report);

  Tensors less = inputs;
  less.erase("part-1/local");
  EXPECT_ERROR(again.training.replay(less, "inputs"), "inputs", "part-1/local");
  less = inputs;
  less.at("part-0/global") = inputs.at("part-0/local");
  EXPECT_ERROR(again.training.replay(less, "inputs"), "part-0/global", "(4, 3, 48, 48) wanted");
}

/// A signal that comes while a step is being computed ends the run with this step.
TEST(Pretraining, AWishToStopIsHeardUntilTheStepIsDone) {
  SmallRun run(small_options());
  index_t asked = 0;
  const DinoReport report = run.training.step([&] {
    ++asked;
    return true;
  });
  EXPECT_TRUE(report.stop);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(run.training.done(), 1);
  EXPECT_FALSE(run.training.step().stop);
}

/// Products in bf16 come near those in fp32: 8 bits of each operand, averaged over a sum's terms.
TEST(Pretraining, AStepInBf16IsNearTheOneInFp32) {
  PretrainOptions options = small_options();
  SmallRun exact(options);
  options.precision = kernels::DType::bf16;
  SmallRun rounded(options);
  if (!rounded.queue.backend().supports(kernels::DType::bf16)) GTEST_SKIP() << "no bf16 here";
  for (int step = 0; step < 3; ++step) {
    const DinoReport a = exact.training.step(), b = rounded.training.step();
    EXPECT_NE(a.loss, b.loss);
    EXPECT_NEAR(a.loss, b.loss, 0x1p-7 * a.loss) << step;
    EXPECT_NEAR(a.teacher_entropy, b.teacher_entropy, 0x1p-7 * a.teacher_entropy) << step;
    EXPECT_NEAR(a.gradient_norm, b.gradient_norm, .05 * a.gradient_norm) << step;
  }
}

/// As official DINO leaves what nn.Linear draws: AdamW turns short rows faster.
TEST(Pretraining, TheLastLayerIsDrawnAsALinearLayerIs) {
  DinoHeadConfig config;
  config.in_features = 8;
  config.hidden = 8;
  config.bottleneck = 64;
  config.out_dim = 512;
  const std::vector<float> values = random_head(config, 1).at("last_layer.weight_v").to_floats();
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  const double bound = 1. / 8, count = static_cast<double>(values.size());
  EXPECT_GE(*least, -bound);
  EXPECT_LE(*most, bound);
  EXPECT_LT(*least, -.99 * bound);
  EXPECT_GT(*most, .99 * bound);
  EXPECT_NEAR(squares / count, bound * bound / 3, .02 * bound * bound / 3);
}

TEST(Pretraining, TheTeacherIsAModelWithoutAHead) {
  SmallRun run(small_options());
  run.training.step();
  run.training.step();
  const model::Checkpoint teacher = run.training.teacher();
  EXPECT_FALSE(teacher.config.has_head());
  engine::TensorFile file;
  file.path = "teacher";
  file.tensors = teacher.tensors;
  model::CheckpointOptions options;
  options.heads = teacher.config.num_heads;
  EXPECT_EQ(model::load_checkpoint_from(file, options).config, teacher.config);
}

TEST(Pretraining, WhatDoesNotFitIsAnError) {
  PretrainOptions options = small_options();
  options.accumulate = 3;
  EXPECT_ERROR(SmallRun run(options), "--batch", "4", "multiple of 3");
  options = small_options();
  options.crops.local = {20, 24};
  EXPECT_ERROR(SmallRun run(options), "20x24", "patch size 8");
  options = small_options();
  options.warmup_epochs = 5;
  EXPECT_ERROR(SmallRun run(options), "--warmup-epochs", "5", "4");
  SmallRun run(small_options());
  RunState state = run.training.state();
  state.tensors.erase("centre");
  EXPECT_ERROR(run.training.restore(state, "RUN"), "RUN", "centre");
  state = run.training.state();
  state.metadata["batch"] = "8";
  EXPECT_ERROR(run.training.restore(state, "RUN"), "RUN", "batch of 8", "4");
}

TEST(Pretraining, CollapseIsCalledByItsName) {
  EXPECT_NE(collapse_warning(std::log(64.), 64).find("ln(out_dim)"), std::string::npos);
  EXPECT_NE(collapse_warning(1e-6, 64).find("near 0"), std::string::npos);
  EXPECT_EQ(collapse_warning(.5 * std::log(64.), 64), "");
}

/// The reference values of SPEC section 4 (2502 steps an epoch, batch 512).
TEST(Pretraining, SchedulesAreTheOfficialOnes) {
  PretrainOptions options;
  options.batch = 512;
  const DinoSchedules schedules(options, 2502);
  double rate = 0;
  for (index_t step = 0; step < 2502; ++step) rate += schedules.at(step).learning_rate;
  EXPECT_NEAR(rate / 2502, 4.99820136696111e-05, 1e-12);
  double decay = 0;
  for (index_t step = 49 * 2502; step < 50 * 2502; ++step) decay += schedules.at(step).weight_decay;
  EXPECT_NEAR(decay / 2502, .2171716692678112, 1e-12);
  EXPECT_TRUE(schedules.at(2501).freeze_last_layer);
  EXPECT_FALSE(schedules.at(2502).freeze_last_layer);
}

}  // namespace
}  // namespace vitsnna::train
