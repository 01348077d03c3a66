// A device with little memory free, or less than it said: fewer noise samples at a time, the same
// bits, and one line where not even one sample fits.
#include <gtest/gtest.h>

#include "explain/explainer.h"
#include "tests/support/expect_error.h"
#include "tests/support/faulty_device.h"
#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"

namespace vitsnna {
namespace {

using explain::Explainer;
using explain::ExplainRequest;
using explain::Explanation;
using kernels::index_t;
using test::FaultPoint;
using test::faulty_device;

constexpr index_t kHeight = 24, kWidth = 32;
constexpr index_t kRoomy = index_t{1} << 30;

class DeviceMemory : public testing::Test {
 protected:
  DeviceMemory()
      : config_(test::small_config()),
        queue_(test::test_device(), 2),
        vit_(queue_, config_, test::small_metadata(), test::small_tensors(config_, 7),
             kernels::DType::f32),
        image_(test::random_image(kHeight, kWidth, 1)) {
    request_.methods = {explain::Method::snna, explain::Method::smoothgrad};
    request_.labels = {explain::LabelSelection::Kind::indices, {0, 2}};
    request_.samples = 6;
    request_.memory_limit = kRoomy;
  }
  ~DeviceMemory() override { faulty_device() = {}; }

  Explanation explain(Explainer& explainer) {
    return explainer.explain({image_.data(), kHeight, kWidth}, request_);
  }
  Explanation explain_afresh() {
    engine::Queue queue(test::test_device(), 2);  // no scratch yet
    Explainer explainer(vit_, queue);
    return explain(explainer);
  }
  /// Bytes free beside the weights, as the device counts them.
  void leave_free(index_t bytes) {
    index_t free_now = 0, total = 0;
    queue_.backend().memory_info(free_now, total);
    faulty_device().total_bytes += bytes - free_now;
  }
  /// What arena and scratch take for one sample and one label at a time.
  index_t least_bytes() {
    request_.memory_limit = 1;
    std::string message;
    try {
      explain_afresh();
    } catch (const Error& error) {
      message = error.what();
    }
    request_.memory_limit = kRoomy;
    const std::size_t at = message.find("at least ");
    EXPECT_NE(at, std::string::npos) << message;
    return std::stoll(message.substr(at + 9)) - vit_.weight_bytes();
  }
  /// The free bytes of which all but the sixteenth that is kept back are `usable`.
  static index_t free_for(index_t usable) { return (usable * 16 + 14) / 15; }

  static void expect_same_bits(const Explanation& found, const Explanation& wanted) {
    EXPECT_EQ(found.logits, wanted.logits);
    EXPECT_EQ(found.maps, wanted.maps);
  }

  model::VitConfig config_;
  engine::Queue queue_;
  model::Vit vit_;
  std::vector<float> image_;
  ExplainRequest request_;
};

TEST_F(DeviceMemory, WhatIsFreeShrinksTheBatchAndChangesNoBit) {
  const Explanation roomy = explain_afresh();
  EXPECT_EQ(roomy.samples_at_a_time, 6);
  const index_t least = least_bytes();
  for (const index_t limit : {index_t{0}, kRoomy}) {  // none, and one above what is free
    request_.memory_limit = limit;
    leave_free(free_for(least));
    const Explanation tight = explain_afresh();
    EXPECT_EQ(tight.samples_at_a_time, 1);
    EXPECT_LE(tight.device_bytes, least + vit_.weight_bytes());
    expect_same_bits(tight, roomy);
    leave_free(free_for(least) - 2);
    EXPECT_ERROR(explain_afresh(), "free memory of " + queue_.device().name(), "at least ",
                 std::to_string(least + vit_.weight_bytes()), "24x32");
  }
}

TEST_F(DeviceMemory, WhatAnExplainerHoldsIsNotMissingForItsNextPicture) {
  leave_free(free_for(least_bytes()));
  Explainer explainer(vit_, queue_);
  const Explanation first = explain(explainer);
  const std::vector<float> narrow = test::random_image(16, kWidth, 2);
  explainer.explain({narrow.data(), 16, kWidth}, request_);
  const Explanation again = explain(explainer);
  EXPECT_EQ(again.samples_at_a_time, first.samples_at_a_time);
  expect_same_bits(again, first);
}

TEST_F(DeviceMemory, WhatOthersTakeInMidRunHalvesTheBatch) {
  const Explanation roomy = explain_afresh();
  const index_t least = least_bytes();
  index_t free_now = 0, total = 0;
  queue_.backend().memory_info(free_now, total);
  faulty_device().hidden_bytes = free_now - least - least / 8;
  Explainer explainer(vit_, queue_);
  const Explanation shrunk = explain(explainer);
  EXPECT_LT(shrunk.samples_at_a_time, 6);
  EXPECT_GE(shrunk.samples_at_a_time, 1);
  expect_same_bits(shrunk, roomy);
  // The next picture of this size starts from what did fit.
  test::forget_calls();
  faulty_device().fault = {FaultPoint::memory, 1, false};
  expect_same_bits(explain(explainer), roomy);
  EXPECT_EQ(test::calls_of(FaultPoint::memory), 0);
}

TEST_F(DeviceMemory, NotEvenOneSampleIsAnErrorThatNamesBothAndLeavesNothing) {
  const index_t least = least_bytes();
  const index_t before = test::blocks_out();
  index_t free_now = 0, total = 0;
  queue_.backend().memory_info(free_now, total);
  faulty_device().hidden_bytes = free_now - least / 2;
  EXPECT_ERROR(explain_afresh(), "an image of 24x32", "one sample at a time", "bytes wanted",
               "free of");
  EXPECT_EQ(test::blocks_out(), before);
  faulty_device().hidden_bytes = 0;
  EXPECT_EQ(explain_afresh().samples_at_a_time, 6);
}

/// Any allocation of a run may be the one that fails, once.
TEST_F(DeviceMemory, AnAllocationThatFailsOnceCostsABatchAndNothingElse) {
  test::forget_calls();
  const Explanation roomy = explain_afresh();
  const index_t allocations = test::calls_of(FaultPoint::memory);
  ASSERT_GE(allocations, 2);
  const index_t before = test::blocks_out();
  for (index_t call = 1; call <= allocations; ++call) {
    test::forget_calls();
    faulty_device().fault = {FaultPoint::memory, call, true};
    const Explanation found = explain_afresh();
    EXPECT_EQ(found.samples_at_a_time, 3) << call;
    expect_same_bits(found, roomy);
    EXPECT_EQ(test::blocks_out(), before);
  }
}

}  // namespace
}  // namespace vitsnna
