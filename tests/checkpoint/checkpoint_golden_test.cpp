// Files as users have them: every format and naming of the golden checkpoints gives the same model.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "tests/support/golden_model.h"
#include "tests/support/shared_path.h"

namespace vitsnna::model {
namespace {

TEST(GoldenCheckpoint, TimmNamesGiveTheConfiguration) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/checkpoints/timm_names.safetensors");
  const Checkpoint checkpoint = load_checkpoint(path.string());
  VitConfig wanted;
  wanted.embed_dim = 64;
  wanted.depth = 2;
  wanted.num_heads = 1;
  wanted.patch_size = 8;
  wanted.mlp_hidden = 256;
  wanted.trained_grid_height = wanted.trained_grid_width = 8;
  EXPECT_EQ(checkpoint.config, wanted);
}

TEST(GoldenCheckpoint, GoldenModelsHaveTheConfigurationTheyState) {
  for (const char* name : {"vit_dh64_square", "vit_dh64_rect", "vit_dh32_p16", "vit_last4"}) {
    VITSNNA_SHARED_OR_SKIP(path, std::string("golden/") + name + ".safetensors");
    const test::GoldenModel golden = test::load_golden_model(path);
    const VitConfig& config = golden.checkpoint.config;
    EXPECT_EQ(config.embed_dim, golden.config.at("d")) << name;
    EXPECT_EQ(config.depth, golden.config.at("L")) << name;
    EXPECT_EQ(config.num_heads, golden.config.at("h")) << name;
    EXPECT_EQ(config.patch_size, golden.config.at("p")) << name;
    EXPECT_EQ(config.num_classes, golden.config.at("classes")) << name;
    EXPECT_EQ(config.head_blocks, golden.config.value("last", 1)) << name;
    EXPECT_EQ(config.trained_grid_height * config.patch_size, golden.config.at("img")) << name;
    EXPECT_EQ(config.trained_grid_width, config.trained_grid_height) << name;
  }
}

TEST(GoldenCheckpoint, TheSharedViTTinyLoadsWithItsMetadata) {
  VITSNNA_SHARED_OR_SKIP(path, "data/vit_tiny/vit_tiny_patch16_224.safetensors");
  const Checkpoint checkpoint = load_checkpoint(path.string());
  EXPECT_EQ(checkpoint.parameters(), 5'717'416);
  EXPECT_EQ(checkpoint.config.num_heads, 3);
  EXPECT_EQ(checkpoint.config.num_classes, 1000);
  EXPECT_EQ(checkpoint.config.trained_grid_height, 14);
  EXPECT_EQ(checkpoint.metadata.mean, (std::array<float, 3>{0.5f, 0.5f, 0.5f}));
  EXPECT_EQ(checkpoint.metadata.deviation, (std::array<float, 3>{0.5f, 0.5f, 0.5f}));
  EXPECT_EQ(checkpoint.metadata.activation, Activation::softmax);
}

}  // namespace
}  // namespace vitsnna::model
