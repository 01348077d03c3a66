// Files as users have them: every format and naming of the golden checkpoints gives the same model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/golden_model.h"
#include "tests/support/shared_path.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::model {
namespace {

// The largest difference between two models' tensors, after checking that they have the same ones.
// `scale` is the largest absolute value seen.
struct Difference {
  double largest = 0;
  double scale = 0;
};

Difference difference(const Checkpoint& a, const Checkpoint& b) {
  Difference result;
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    const auto other = b.tensors.find(name);
    if (other == b.tensors.end() || other->second.shape != tensor.shape) {
      ADD_FAILURE() << name;
      continue;
    }
    const std::vector<float> left = tensor.to_floats();
    const std::vector<float> right = other->second.to_floats();
    for (std::size_t i = 0; i < left.size(); ++i) {
      const double value = left[i];
      result.largest = std::max(result.largest, std::abs(value - static_cast<double>(right[i])));
      result.scale = std::max(result.scale, std::abs(value));
    }
  }
  EXPECT_GT(result.scale, 0.0);
  return result;
}

TEST(GoldenCheckpoint, EveryFormatAndNamingGivesTheSameTensors) {
  VITSNNA_SHARED_OR_SKIP(folder, "golden/checkpoints");
  const Checkpoint timm = load_checkpoint((folder / "timm_names.safetensors").string());
  const std::pair<const char*, const char*> files[] = {{"backbone_zip.pth", "pth (zip)"},
                                                       {"backbone_legacy.pth", "pth (legacy)"},
                                                       {"hf_names.safetensors", "safetensors"},
                                                       {"dino_full.pth", "pth (zip)"}};
  for (const auto& [name, format] : files) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint = load_checkpoint((folder / name).string());
    EXPECT_EQ(checkpoint.format, format);
    EXPECT_EQ(difference(timm, checkpoint).largest, 0.0);
    EXPECT_EQ(checkpoint.sha256.size(), 64u);
    EXPECT_NE(checkpoint.sha256, timm.sha256);
    EXPECT_FALSE(checkpoint.config.has_head());
    EXPECT_ERROR(checkpoint.require_head(), name, "--head");
  }
}

TEST(GoldenCheckpoint, HalfPrecisionAgreesToItsRounding) {
  VITSNNA_SHARED_OR_SKIP(folder, "golden/checkpoints");
  const Checkpoint timm = load_checkpoint((folder / "timm_names.safetensors").string());
  const Checkpoint half = load_checkpoint((folder / "backbone_fp16.pth").string());
  const Difference found = difference(timm, half);
  EXPECT_EQ(half.tensors.at("norm.weight").type, engine::ElementType::f16);
  // Rounding to fp16 moves a value by at most 2^-11 of itself (or half a subnormal step, smaller).
  EXPECT_LE(found.largest, found.scale * 0x1p-11);
  EXPECT_GT(found.largest, 0.0);
}

TEST(GoldenCheckpoint, AFullDinoCheckpointGivesEitherPartAndSaysWhatItLeftOut) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/checkpoints/dino_full.pth");
  const Checkpoint teacher = load_checkpoint(path.string());
  CheckpointOptions options;
  options.part = Part::student;
  const Checkpoint student = load_checkpoint(path.string(), options);
  // The file was saved before any training: student and teacher are equal.
  EXPECT_EQ(difference(teacher, student).largest, 0.0);
  const auto holds = [](const Checkpoint& checkpoint, std::string_view part, std::string_view end) {
    return std::any_of(
        checkpoint.left_out.begin(), checkpoint.left_out.end(),
        [&](const std::string& name) { return name.starts_with(part) && name.ends_with(end); });
  };
  EXPECT_TRUE(holds(teacher, "student.", "cls_token"));
  EXPECT_FALSE(holds(teacher, "teacher.", "cls_token"));
  EXPECT_TRUE(holds(student, "teacher.", "cls_token"));
  EXPECT_FALSE(holds(student, "student.", "cls_token"));
  EXPECT_TRUE(holds(teacher, "teacher.", "head.last_layer.weight_v"));
  EXPECT_TRUE(holds(teacher, "teacher.", "head.mlp.0.weight"));
  EXPECT_TRUE(holds(teacher, "dino_loss.", "center"));
}

TEST(GoldenCheckpoint, APartOfAPlainBackboneIsAnError) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/checkpoints/backbone_zip.pth");
  CheckpointOptions options;
  options.part = Part::student;
  EXPECT_ERROR(load_checkpoint(path.string(), options), "backbone_zip.pth", "student");
}

TEST(GoldenCheckpoint, ConvertingAnyFileAndLoadingItAgainChangesNothing) {
  VITSNNA_SHARED_OR_SKIP(folder, "golden/checkpoints");
  const test::TempDirectory temporary;
  for (const char* name : {"backbone_zip.pth", "backbone_legacy.pth", "backbone_fp16.pth",
                           "dino_full.pth", "hf_names.safetensors"}) {
    SCOPED_TRACE(name);
    const Checkpoint before = load_checkpoint((folder / name).string());
    const auto path = temporary / (std::string(name) + ".safetensors");
    save_checkpoint(path, before);
    const Checkpoint after = load_checkpoint(path.string());
    EXPECT_EQ(difference(before, after).largest, 0.0);
    EXPECT_TRUE(after.left_out.empty());
    EXPECT_EQ(after.metadata.mean, before.metadata.mean);
    EXPECT_EQ(after.metadata.deviation, before.metadata.deviation);
  }
}

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
