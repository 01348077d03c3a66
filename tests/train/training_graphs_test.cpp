// Training steps as graphs: from their third time on they are replayed, to the bits that steps
// launched op by op come to.
#include <gtest/gtest.h>

#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"
#include "train/dino/pretraining.h"
#include "train/supervised/finetuning.h"

namespace vitsnna::train {
namespace {

index_t captures = 0, replays = 0;

/// The device under test, with and without graphs; what is captured and launched is counted.
engine::Device counting_device(bool graphs) {
  static const engine::Device device = test::test_device();
  static const auto table_of = [](bool with_graphs) {
    kernels::Backend table = *device.backend;
    table.begin_capture = [](kernels::Queue& queue) {
      ++captures;
      device.backend->begin_capture(queue);
    };
    table.launch_graph = [](kernels::Queue& queue, const kernels::Graph& graph) {
      ++replays;
      device.backend->launch_graph(queue, graph);
    };
    if (!with_graphs) table.begin_capture = nullptr;
    return table;
  };
  static const kernels::Backend with = table_of(true), without = table_of(false);
  engine::Device result = device;
  result.backend = graphs ? &with : &without;
  return result;
}

class TrainingGraphs : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::test_device().backend->begin_capture) GTEST_SKIP() << "this device has no graphs";
  }
};

Dataset numbered(index_t count) {
  Dataset dataset;
  dataset.path = "numbered";
  dataset.label_names = {"left", "right"};
  for (index_t k = 0; k < count; ++k) {
    dataset.samples.push_back({std::to_string(k), std::to_string(k)});
    dataset.labels.push_back(k % 2 == 0 ? 1.f : 0.f);
    dataset.labels.push_back(k % 3 == 0 ? 1.f : 0.f);
  }
  return dataset;
}

Image picture(const std::string& path, index_t = 0) {
  const index_t k = std::stoi(path);
  Image image{24, 24, {}};
  for (index_t i = 0; i < 24 * 24 * 3; ++i) {
    image.rgb.push_back(static_cast<std::uint8_t>((i * (k + 3) + k * 41) % 256));
  }
  return image;
}

model::Checkpoint backbone() {
  model::Checkpoint checkpoint;
  checkpoint.config = test::small_config();
  checkpoint.config.num_classes = 0;
  checkpoint.config.depth = 2;
  checkpoint.tensors = test::small_tensors(checkpoint.config, 1);
  return checkpoint;
}

/// The run's state after `steps` of them.
template <class Run>
RunState after(Run& run, index_t steps) {
  captures = replays = 0;
  while (run.done() < steps) EXPECT_TRUE(run.step().finite);
  return run.state();
}

void expect_same(const RunState& a, const RunState& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_EQ(tensor.to_floats(), b.tensors.at(name).to_floats()) << name;
  }
}

/// Two parts a step, with drop path, a rate that changes and a last layer that thaws.
TEST_F(TrainingGraphs, PretrainingStepsComeToTheSameBits) {
  PretrainOptions options;
  options.epochs = 4;
  options.batch = 2;
  options.accumulate = 2;
  options.learning_rate = .05;
  options.warmup_epochs = 1;
  options.drop_path = .4;
  options.head.hidden = 32;
  options.head.bottleneck = 16;
  options.head.out_dim = 32;
  options.crops.global = {16, 16};
  options.crops.local = {8, 8};
  options.crops.locals = 1;
  const Dataset images = numbered(4);
  const auto alone = single_process();
  constexpr index_t kSteps = 7;
  RunState states[2];
  for (const bool graphs : {false, true}) {
    engine::Queue queue(counting_device(graphs), 1);
    Pretraining training(queue, *alone, options, backbone(), images, picture);
    states[graphs] = after(training, kSteps);
    EXPECT_EQ(replays > 0, graphs);
  }
  // Each of the loader's buffers as a first or a last part, and the update.
  EXPECT_LE(captures, 5);
  EXPECT_GE(replays, 2 * captures);
  expect_same(states[0], states[1]);
}

TEST_F(TrainingGraphs, FinetuningStepsComeToTheSameBits) {
  FinetuneOptions options;
  options.whole_model = true;
  options.head_blocks = 2;
  options.size = {16, 16};
  options.epochs = 4;
  options.batch = 2;
  options.optimizer = Optimizer::adamw;
  options.learning_rate = .05;
  const Dataset images = numbered(4), validation = numbered(2);
  const auto alone = single_process();
  RunState states[2];
  for (const bool graphs : {false, true}) {
    engine::Queue queue(counting_device(graphs), 1);
    Finetuning training(queue, *alone, options, backbone(), images, validation, picture);
    states[graphs] = after(training, 7);
    EXPECT_EQ(replays > 0, graphs);
  }
  EXPECT_LE(captures, 2);
  expect_same(states[0], states[1]);
}

}  // namespace
}  // namespace vitsnna::train
