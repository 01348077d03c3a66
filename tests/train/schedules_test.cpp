// Schedules against SPEC section 4's figures, and against the golden run's.
#include "train/schedules.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/io/safetensors.h"
#include "tests/support/shared_path.h"

namespace vitsnna {
namespace {

using kernels::index_t;
using train::CosineSchedule;

constexpr double kTolerance = 1e-12;  // relative

double epoch_mean(const CosineSchedule& schedule, index_t epoch, index_t steps_per_epoch) {
  double sum = 0;
  for (index_t step = 0; step < steps_per_epoch; ++step) {
    sum += schedule.at(epoch * steps_per_epoch + step);
  }
  return sum / static_cast<double>(steps_per_epoch);
}

TEST(Schedules, EpochMeansOfTheOfficialRun) {
  constexpr index_t kSteps = 2502;  // an epoch, batch 512
  const CosineSchedule learning_rate{.0005 * 512 / 256, 1e-6, 100 * kSteps, 10 * kSteps, 0};
  const CosineSchedule weight_decay{.04, .4, 100 * kSteps};
  EXPECT_NEAR(epoch_mean(learning_rate, 0, kSteps) / 4.99820136696111e-05, 1, kTolerance);
  EXPECT_NEAR(epoch_mean(learning_rate, 49, kSteps) / 5.958076746498755e-04, 1, kTolerance);
  EXPECT_NEAR(epoch_mean(weight_decay, 49, kSteps) / .2171716692678112, 1, kTolerance);
}

TEST(Schedules, EndsAreExact) {
  const CosineSchedule schedule{2, .5, 10, 4, .25};
  EXPECT_EQ(schedule.at(0), .25);
  EXPECT_EQ(schedule.at(3), 2);
  EXPECT_EQ(schedule.at(4), 2);
  EXPECT_GT(schedule.at(9), .5);
  const CosineSchedule one_step_of_warmup{2, .5, 10, 1, .25};
  EXPECT_EQ(one_step_of_warmup.at(0), .25);
  EXPECT_EQ(one_step_of_warmup.at(1), 2);
}

TEST(Schedules, TemperatureWarmsUpByEpoch) {
  const train::TemperatureSchedule schedule{.07, .04, 30};
  EXPECT_EQ(schedule.at(0), .04);
  EXPECT_NEAR(schedule.at(29), .07, 1e-15);
  EXPECT_EQ(schedule.at(30), .07);
  EXPECT_EQ(train::TemperatureSchedule().at(0), .04);
}

TEST(SchedulesGolden, EveryStep) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/dino_steps.safetensors");
  const engine::TensorFile file = engine::read_safetensors(path.string());
  const auto values = [&](const std::string& name) {
    const engine::HostTensor& tensor = file.at(name);
    EXPECT_EQ(tensor.type, engine::ElementType::f64) << name;
    std::vector<double> numbers(static_cast<std::size_t>(tensor.elements()));
    std::memcpy(numbers.data(), tensor.bytes.data(), tensor.bytes.size());
    return numbers;
  };
  const auto metadata = [&](const char* key) {
    return static_cast<index_t>(std::stoll(file.metadata.at(key)));
  };
  const index_t epoch_steps = metadata("iters_per_epoch");
  const index_t steps = metadata("epochs") * epoch_steps;
  const index_t warmup = metadata("warmup_epochs") * epoch_steps;
  const std::vector<double> rate = values("sched/lr"), decay = values("sched/wd"),
                            momentum = values("sched/momentum");
  ASSERT_EQ(static_cast<index_t>(rate.size()), steps);
  // The run's bases are its own; a warm-up's last value is the base.
  const CosineSchedule expected_rate{rate[static_cast<std::size_t>(warmup - 1)], 1e-6, steps,
                                     warmup, 0};
  const CosineSchedule expected_decay{decay[0], .4, steps};
  const CosineSchedule expected_momentum{momentum[0], 1, steps};
  for (index_t step = 0; step < steps; ++step) {
    const auto i = static_cast<std::size_t>(step);
    EXPECT_NEAR(expected_rate.at(step), rate[i], kTolerance * rate.back()) << step;
    EXPECT_NEAR(expected_decay.at(step), decay[i], kTolerance) << step;
    EXPECT_NEAR(expected_momentum.at(step), momentum[i], kTolerance) << step;
  }
}

}  // namespace
}  // namespace vitsnna
