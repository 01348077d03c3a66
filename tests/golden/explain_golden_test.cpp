// Every method, in both formulations, against golden maps computed with N x N matrices in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "explain/explainer.h"
#include "tests/support/golden_session.h"
#include "tests/support/relative_error.h"
#include "tests/support/test_device.h"

namespace vitsnna {
namespace {

using explain::ExplainRequest;
using explain::Explanation;
using explain::Formulation;
using explain::LabelSelection;
using explain::Method;
using test::GoldenSession;
using test::relative_error;

constexpr double kTolerance = 1e-4;

class ExplainGolden : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(ExplainGolden, EveryMethodInBothFormulations) {
  GoldenSession session(GetParam());
  const auto& shape = session.golden.file.at("in/images").shape;
  const std::vector<float> images = session.array("in/images");
  const std::vector<float> noise = session.array("in/noise");
  const std::filesystem::path extra_path = test::shared_path("golden/extra_methods.safetensors");
  engine::TensorFile extra;
  if (std::filesystem::exists(extra_path)) extra = engine::read_safetensors(extra_path.string());

  explain::Explainer explainer(session.vit, session.queue);
  ExplainRequest request;
  request.labels = {LabelSelection::Kind::indices,
                    {std::stoll(session.golden.file.metadata.at("class_index"))}};
  request.noise = noise.data();
  request.samples = session.golden.file.at("in/noise").shape[0];
  request.integration_steps = std::stoll(session.golden.file.metadata.at("ig_steps"));
  double worst = 0;
  int compared = 0;
  for (const Formulation formulation : {Formulation::paper, Formulation::authors}) {
    // All at once, so that the sharing of passes is what is tested; the promise tests compare with
    // one at a time.
    request.formulation = formulation;
    const std::span<const Method> methods = explain::all_methods();
    request.methods = {methods.begin(), methods.end()};
    const Explanation explanation = explainer.explain({images.data(), shape[2], shape[3]}, request);
    for (std::size_t method = 0; method < methods.size(); ++method) {
      const std::string name(name_of(methods[method]));
      const std::string key = "out/explain/" + std::string(name_of(formulation)) + "/" + name;
      const std::string extra_key = GetParam().stem().string() + "/" + name;
      std::vector<float> wanted;
      if (session.has(key)) {
        wanted = session.array(key);
      } else if (extra.tensors.contains(extra_key)) {
        wanted = extra.at(extra_key).to_floats();
      } else {
        continue;
      }
      ++compared;
      const double error = relative_error(explanation.map(0, method), wanted);
      worst = std::max(worst, error);
      EXPECT_LT(error, kTolerance) << key;
    }
    if (session.has("out/explain/paper/attig/ig_total") && formulation == Formulation::paper) {
      EXPECT_NEAR(explanation.completeness.at(0).attributed,
                  session.array("out/explain/paper/attig/ig_total")[0], 1e-4);
      EXPECT_NEAR(explanation.completeness.at(0).difference,
                  session.array("out/explain/paper/attig/f_x")[0] -
                      session.array("out/explain/paper/attig/f_base")[0],
                  1e-4);
    }
  }
  EXPECT_GE(compared, 12);
  std::cout << compared << " maps, worst relative error " << worst << "\n";
}

TEST_P(ExplainGolden, IntegratedGradientsAreCompleteTo1PercentAt200Steps) {
  GoldenSession session(GetParam());
  const auto& shape = session.golden.file.at("in/images").shape;
  const std::vector<float> images = session.array("in/images");
  explain::Explainer explainer(session.vit, session.queue);
  ExplainRequest request;
  request.methods = {Method::ig};
  request.labels.kind = LabelSelection::Kind::all;
  request.integration_steps = 200;
  const Explanation explanation = explainer.explain({images.data(), shape[2], shape[3]}, request);
  // A logit that hardly moves along the path is a small difference of large attributions: it is
  // held to 1% of the logit that moves most.
  double largest = 0;
  for (const auto& label : explanation.completeness) {
    largest = std::max(largest, std::abs(label.difference));
  }
  for (const auto& [attributed, difference] : explanation.completeness) {
    EXPECT_NEAR(attributed, difference, .01 * largest);
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ExplainGolden);
INSTANTIATE_TEST_SUITE_P(Files, ExplainGolden, testing::ValuesIn(test::golden_vits()),
                         [](const auto& file) { return file.param.stem().string(); });

TEST(ExplainGoldenReal, PretrainedVitTinyOnPhotographs) {
  VITSNNA_SHARED_OR_SKIP(golden_path, "golden/vit_tiny_real.safetensors");
  VITSNNA_SHARED_OR_SKIP(weights_path, "data/vit_tiny/vit_tiny_patch16_224.safetensors");
  const engine::TensorFile golden = engine::read_safetensors(golden_path.string());
  const model::Checkpoint checkpoint = model::load_checkpoint(weights_path.string());
  engine::Queue queue(test::test_device(), 2);
  const model::Vit vit(queue, checkpoint.config, checkpoint.metadata, checkpoint.tensors,
                       kernels::DType::f32);
  explain::Explainer explainer(vit, queue);
  double worst = 0;
  const auto labels = nlohmann::json::parse(golden.metadata.at("labels"));
  for (const auto& [picture, indices] : labels.items()) {
    const engine::HostTensor& image = golden.at(picture + "/in/image");
    const std::vector<float> pixels = image.to_floats();
    const std::vector<float> noise = golden.at(picture + "/in/noise").to_floats();
    ExplainRequest request;
    request.labels.kind = LabelSelection::Kind::indices;
    request.labels.indices = indices.get<std::vector<kernels::index_t>>();
    request.noise = noise.data();
    request.samples = golden.at(picture + "/in/noise").shape[0];
    request.integration_steps = std::stoll(golden.metadata.at("ig_steps"));
    request.methods = {Method::rawatt,     Method::attgrad, Method::attin,
                       Method::genericatt, Method::attig,   Method::snna};
    for (const Formulation formulation : {Formulation::paper, Formulation::authors}) {
      request.formulation = formulation;
      const Explanation explanation =
          explainer.explain({pixels.data(), image.shape[2], image.shape[3]}, request);
      const double logits_error =
          relative_error(explanation.logits, golden.at(picture + "/out/logits").to_floats());
      EXPECT_LT(logits_error, kTolerance) << picture;
      for (std::size_t label = 0; label < explanation.labels.size(); ++label) {
        for (std::size_t method = 0; method < request.methods.size(); ++method) {
          const std::string key = picture + "/out/" + std::to_string(explanation.labels[label]) +
                                  "/" + std::string(name_of(formulation)) + "/" +
                                  std::string(name_of(request.methods[method]));
          const double error =
              relative_error(explanation.map(label, method), golden.at(key).to_floats());
          worst = std::max(worst, error);
          EXPECT_LT(error, kTolerance) << key;
        }
      }
    }
  }
  std::cout << "worst relative error " << worst << "\n";
}

}  // namespace
}  // namespace vitsnna
