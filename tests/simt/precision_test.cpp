// bf16 on the CUDA kernels against fp32 on the CPU: a whole explanation ranks patches alike.
#include <gtest/gtest.h>

#include "explain/explainer.h"
#include "tests/support/relative_error.h"
#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"

namespace vitsnna {
namespace {

explain::Explanation explain_on(const engine::Device& device, kernels::DType precision,
                                const std::vector<float>& image) {
  const model::VitConfig config = test::small_config();
  engine::Queue queue(device);
  const model::Vit vit(queue, config, test::small_metadata(), test::small_tensors(config, 7),
                       precision);
  explain::ExplainRequest request;
  request.methods = {explain::Method::snna, explain::Method::genericatt};
  request.labels.kind = explain::LabelSelection::Kind::all;
  return explain::Explainer(vit, queue).explain({image.data(), 40, 64}, request);
}

/// Four blocks of roundings to 8 bits: a few times 2^-8 of the whole.
TEST(Precision, Bf16MapsAreNearThoseOfFp32) {
  const std::vector<float> image = test::random_image(40, 64, 1);
  const auto want = explain_on(engine::select_device("cpu"), kernels::DType::f32, image);
  const auto got = explain_on(test::test_device(), kernels::DType::bf16, image);
  ASSERT_EQ(got.maps.size(), want.maps.size());
  EXPECT_LT(test::relative_error(got.logits, want.logits), 8. / 256.);
  for (std::size_t map = 0; map < want.maps.size(); ++map) {
    EXPECT_LT(test::relative_error(got.maps[map], want.maps[map]), 16. / 256.) << map;
  }
}

TEST(Precision, Fp32MapsAreThoseOfTheCpu) {
  const std::vector<float> image = test::random_image(40, 64, 1);
  const auto want = explain_on(engine::select_device("cpu"), kernels::DType::f32, image);
  const auto got = explain_on(test::test_device(), kernels::DType::f32, image);
  EXPECT_LT(test::relative_error(got.logits, want.logits), 1e-5);
  for (std::size_t map = 0; map < want.maps.size(); ++map) {
    EXPECT_LT(test::relative_error(got.maps[map], want.maps[map]), 1e-4) << map;
  }
}

}  // namespace
}  // namespace vitsnna
