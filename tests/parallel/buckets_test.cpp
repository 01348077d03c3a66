// What needs no second process: the buckets of a model, and a communicator of one.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/expect_error.h"
#include "tests/support/small_vit.h"
#include "train/parallel/connect.h"
#include "train/parallel/gradient_reducer.h"

namespace vitsnna::test {
namespace {

using train::BucketRange;
using train::index_t;

TEST(Buckets, HoldEveryParameterOnce) {
  const model::VitConfig config = small_config();
  const model::ParameterTable table(config);
  std::vector<BucketRange> buckets = train::outer_buckets(table);
  for (index_t block = 0; block < config.depth; ++block) {
    buckets.push_back(train::block_bucket(table, block));
  }
  std::vector<int> covered(static_cast<std::size_t>(table.block_elements()), 0);
  for (const BucketRange& bucket : buckets) {
    for (index_t at = bucket.offset; at < bucket.offset + bucket.count; ++at) {
      ++covered[static_cast<std::size_t>(at)];
    }
  }
  for (const auto& entry : table.entries()) {
    for (index_t at = entry.offset; at < entry.offset + entry.elements; ++at) {
      ASSERT_EQ(covered[static_cast<std::size_t>(at)], 1) << entry.name;
    }
  }
  EXPECT_LE(*std::max_element(covered.begin(), covered.end()), 1);
}

TEST(Buckets, OfABlockThatIsNotThereAreAnError) {
  const model::ParameterTable table(small_config());
  EXPECT_THROW(train::block_bucket(table, small_config().depth), Error);
}

/// The sizes that docs/SCALING.md calculates with.
TEST(Buckets, OfAVitSAreThoseOfTheDocumentation) {
  for (const auto& [patch, outer] : {std::pair<index_t, index_t>{8, 376704}, {16, 372096}}) {
    model::VitConfig config;
    config.embed_dim = 384;
    config.depth = 12;
    config.num_heads = 6;
    config.mlp_hidden = 1536;
    config.patch_size = patch;
    config.trained_grid_height = config.trained_grid_width = 224 / patch;
    config.num_classes = 0;
    const model::ParameterTable table(config);
    index_t outside = 0;
    for (const BucketRange& range : train::outer_buckets(table)) outside += range.count;
    EXPECT_EQ(outside, outer);
    EXPECT_EQ(train::block_bucket(table, 7).count, 1774464);
    EXPECT_EQ(table.elements(), outer + 12 * 1774464);
  }
}

TEST(DeviceOfRank, IsTheGpuOfItsPlace) {
  EXPECT_EQ(train::device_of_rank("auto", 3, 8, 8), "cuda:3");
  EXPECT_EQ(train::device_of_rank("cuda", 0, 8, 8), "cuda:0");
  EXPECT_EQ(train::device_of_rank("auto", 3, 8, 1), "cuda:0");  // each sees its own alone
  EXPECT_EQ(train::device_of_rank("auto", 3, 8, 0), "auto");    // which falls back to the CPU
  EXPECT_EQ(train::device_of_rank("auto", 0, 1, 8), "auto");
  EXPECT_EQ(train::device_of_rank("cpu", 3, 8, 8), "cpu");
  EXPECT_EQ(train::device_of_rank("cuda:5", 3, 8, 8), "cuda:5");
  EXPECT_ERROR(train::device_of_rank("auto", 4, 8, 4), "8 ranks on a machine with 4 GPUs");
}

TEST(SingleProcess, LeavesSumsAndRecordsAsTheyAre) {
  const auto alone = train::single_process();
  engine::Queue queue(engine::select_device("cpu"), 1);
  float values[2] = {1.f, 2.f};
  alone->start_sum(queue, values, 2);
  alone->finish_sums(queue);
  EXPECT_EQ(values[0], 1.f);
  EXPECT_EQ(values[1], 2.f);
  const double numbers[2] = {3., 4.};
  EXPECT_EQ(train::sum_over_ranks(*alone, numbers), (std::vector<double>{3., 4.}));
  EXPECT_TRUE(train::any_rank(*alone, true));
  EXPECT_FALSE(train::any_rank(*alone, false));
}

TEST(SingleProcess, ThrowsOnWhatItsJobThrows) {
  const auto alone = train::single_process();
  EXPECT_THROW(train::run_guarded(*alone, [] { throw Error("no"); }), Error);
}

}  // namespace
}  // namespace vitsnna::test
