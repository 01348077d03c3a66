// `pretrain` as users launch it over several processes: the images of every step are those of one
// process, and a run goes on with fewer.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/io/safetensors.h"
#include "tests/cli/cli_fixture.h"
#include "tests/cli/small_pretraining.h"
#include "tests/parallel/launch.h"

namespace vitsnna::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class PretrainRanks : public testing::Test {
 protected:
  void SetUp() override {
    VITSNNA_SKIP_WITHOUT_MPI();
    save_small_model(file("model.safetensors"));
    write_pictures(file("images"));
  }
  std::string file(const std::string& name) const { return (directory_ / name).string(); }

  /// Six epochs of two steps of four images.
  Outcome pretrain(int ranks, const std::string& run,
                   const std::vector<std::string>& more = {}) const {
    return launch(ranks, VITSNNA_RANKS,
                  small_pretraining({{"--data", file("images")},
                                     {"--output", file(run)},
                                     {"--model", file("model.safetensors")},
                                     {"--epochs", "6"},
                                     {"--warmup-epochs", "1"},
                                     {"--checkpoint-every", "6"},
                                     {"--keep", "9"},
                                     {"--device", "cpu"}},
                                    more));
  }
  std::vector<double> losses(const std::string& run) const {
    std::vector<double> values;
    std::istringstream text(read_bytes(file(run + "/metrics.jsonl")));
    for (std::string line; std::getline(text, line);) {
      values.push_back(json::parse(line).at("loss").get<double>());
    }
    return values;
  }

  TempDirectory directory_;
};

TEST_F(PretrainRanks, TwoSeeWhatOneSeesAndOneGoesOnFromThem) {
  const Outcome one = pretrain(1, "one"), two = pretrain(2, "two");
  ASSERT_EQ(one.exit_code, 0) << one;
  ASSERT_EQ(two.exit_code, 0) << two;
  // Back to the sixth step, from where another number of processes goes on.
  fs::remove(file("two/checkpoints/step-000000012.safetensors"));
  const Outcome resumed = pretrain(1, "two", {"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed;
  EXPECT_NE(resumed.err.find("going on after step 6"), std::string::npos) << resumed;
  const std::vector<double> a = losses("one"), b = losses("two");
  ASSERT_EQ(a.size(), 12u);
  ASSERT_EQ(b.size(), 12u);
  // Other images differ by far more: the sums over ranks are added in another order, no more.
  for (std::size_t step = 0; step < 12; ++step)
    EXPECT_NEAR(b[step], a[step], 1e-4 * a[step]) << step;
}

TEST_F(PretrainRanks, AStepThatIsNotFiniteIsWholeInTheFilesOfAllRanks) {
  const std::vector<std::string> more = {"--lr", "1e10", "--warmup-epochs", "0"};
  const Outcome outcome = pretrain(2, "run", more);
  EXPECT_NE(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("not finite"), std::string::npos) << outcome;
  std::string failed;
  int inputs = 0;
  for (const std::string& name : names_in(file("run"))) {
    if (!name.starts_with("failed-step-")) continue;
    const bool of_a_rank = name.find(".rank") != std::string::npos;
    inputs += of_a_rank ? 1 : 0;
    if (!of_a_rank) failed = file("run/" + name);
    EXPECT_NO_THROW(engine::read_safetensors(file("run/" + name))) << name;
  }
  EXPECT_EQ(inputs, 2);
  ASSERT_FALSE(failed.empty());
  std::vector<std::string> replay = more;
  replay.insert(replay.end(), {"--replay", failed});
  const Outcome again = pretrain(2, "run", replay);
  EXPECT_EQ(again.exit_code, 0) << again;
  EXPECT_NE(again.out.find("not finite, as then"), std::string::npos) << again;
  const Outcome alone = pretrain(1, "run", replay);
  EXPECT_EQ(alone.exit_code, 1) << alone;
  EXPECT_NE(alone.err.find("ranks is 2, now it is 1"), std::string::npos) << alone;
}

}  // namespace
}  // namespace vitsnna::test
