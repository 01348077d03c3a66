// `--dry-run` says the peak memory of the run that follows, and its operations.
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

using nlohmann::json;

class CliMemory : public CliTest {
 protected:
  void expect_predicted(const std::vector<std::string>& arguments) const {
    std::filesystem::remove_all(directory_ / "out");
    std::vector<std::string> dry = arguments;
    dry.insert(dry.end(), {"--dry-run", "--json"});
    const Outcome planned = explain(dry);
    ASSERT_EQ(planned.exit_code, 0) << planned;
    const json plan = json::parse(planned.out);
    const json manifest = manifest_of(arguments);
    const double predicted = plan["peak_memory_bytes"];
    const double measured = manifest["peak_memory_bytes"];
    EXPECT_LT(std::abs(predicted - measured), .15 * measured)
        << "predicted " << predicted << ", measured " << measured;
    double flops = 0;
    for (const auto& [stage, cost] : manifest["inputs"][0]["stages"].items()) {
      flops += cost.value("flops", 0.);
    }
    EXPECT_NEAR(plan["flops"].get<double>(), flops, 1e-6 * flops);
    RecordProperty("predicted", std::to_string(predicted));
    RecordProperty("measured", std::to_string(measured));
  }
};

TEST_F(CliMemory, ADryRunPredictsThePeakWithin15Percent) {
  expect_predicted({file("street.png"), "--label", "left"});
  model::VitConfig config = small_config();
  config.embed_dim = 256;
  config.num_heads = 4;
  config.mlp_hidden = 1024;
  save_small_model(file("model.safetensors"), config);
  expect_predicted({file("street.png"), "--label", "left", "--size", "240x240"});
  expect_predicted({file("street.png"), "--label", "all", "--size", "128x160", "--method",
                    "rawatt,attgrad,snna", "--samples", "2"});
  expect_predicted({file("street.png"), "--label", "left", "--size", "160x160", "--memory-limit",
                    "1G", "--samples", "4"});
}

/// The whole process, less what it takes for a picture of a few patches: N x N scores would grow 21
/// times from 224x224 (N = 785) to 360x640 (N = 3601).
TEST_F(CliMemory, TheProcessGrowsLinearlyWithTokens) {
  model::VitConfig config = small_config();
  config.embed_dim = 128;
  config.num_heads = 2;
  config.mlp_hidden = 512;
  config.depth = 3;
  save_small_model(file("model.safetensors"), config);
  const auto peak = [&](const std::string& size) {
    std::filesystem::remove_all(directory_ / "out");
    const json manifest =
        manifest_of({file("street.png"), "--label", "left", "--size", size, "--samples", "2"});
    return manifest["peak_memory_bytes"].get<double>();
  };
  const double start = peak("16x16");
  const double ratio = (peak("360x640") - start) / (peak("224x224") - start);
  EXPECT_LT(ratio, 5.5);
  EXPECT_GT(ratio, 1.);
  RecordProperty("ratio", std::to_string(ratio));
}

}  // namespace
}  // namespace vitsnna::test
