// `attention`: a map a head, their mean, thresholds of mass.
#include <gtest/gtest.h>

#include "engine/images/read_image.h"
#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

class CliAttention : public CliTest {
 protected:
  Outcome attention(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"attention", "--model", file("model.safetensors"), "--output",
                                    file("out")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_binary(all);
  }
};

TEST_F(CliAttention, EveryHeadOfTheLastBlockAndTheirMean) {
  const Outcome outcome = attention({file("street.png")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outputs(),
            (std::vector<std::string>{"street.block3.contact_sheet.png", "street.block3.head0.npy",
                                      "street.block3.head0.png", "street.block3.head1.npy",
                                      "street.block3.head1.png", "street.block3.mean.npy",
                                      "street.block3.mean.png"}));
  const std::vector<float> first = map("street.block3.head0.npy");
  const std::vector<float> second = map("street.block3.head1.npy");
  const std::vector<float> mean = map("street.block3.mean.npy");
  ASSERT_EQ(mean.size(), 36u);
  float sum = 0;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    EXPECT_FLOAT_EQ(mean[i], first[i] / 2 + second[i] / 2);
    sum += mean[i];
  }
  EXPECT_GT(sum, 0.f);
  EXPECT_LT(sum, 1.f);  // the CLS token's attention to itself is left out
}

TEST_F(CliAttention, TheMeanOfTheLastBlockIsTheMethodRawatt) {
  attention({file("street.png")});
  const std::vector<float> mean = map("street.block3.mean.npy");
  manifest_of({file("street.png"), "--method", "rawatt", "--label", "left"});
  const std::vector<float> rawatt = map("street.left.rawatt.npy");
  for (std::size_t i = 0; i < mean.size(); ++i) EXPECT_NEAR(mean[i], rawatt[i], 1e-6f);
}

TEST_F(CliAttention, AnyBlockCanBeAskedForAndOthersAreRefused) {
  EXPECT_EQ(attention({file("street.png"), "--block", "0"}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(output("street.block0.mean.png")));
  expect_failure(attention({file("street.png"), "--block", "4"}), 1, {"--block", "4", "3"});
  expect_failure(attention({file("street.png"), "--block", "0"}), 1, {"exists", "--force"});
  EXPECT_EQ(attention({file("street.png"), "--block", "0", "--force"}).exit_code, 0);
}

TEST_F(CliAttention, AMassThresholdChangesThePictureAndNotTheArray) {
  attention({file("street.png")});
  const std::vector<float> array = map("street.block3.mean.npy");
  const auto picture = engine::read_image(output("street.block3.mean.png")).rgb;
  EXPECT_EQ(attention({file("street.png"), "--force", "--mass-threshold", "0.4"}).exit_code, 0);
  EXPECT_EQ(map("street.block3.mean.npy"), array);
  EXPECT_NE(engine::read_image(output("street.block3.mean.png")).rgb, picture);
  expect_failure(attention({file("street.png"), "--mass-threshold", "1.5"}), 2,
                 {"--mass-threshold"});
}

TEST_F(CliAttention, ABackboneWithoutAHeadWillDo) {
  model::VitConfig config = small_config();
  config.num_classes = 0;
  save_small_model(file("model.safetensors"), config, {});
  const Outcome outcome = attention({file("street.png"), "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["inputs"][0]["maps"].size(), 3u);
  expect_failure(explain({file("street.png"), "--force"}), 1, {"model.safetensors", "--head"});
}

}  // namespace
}  // namespace vitsnna::test
