// Configuration from shapes, heads, heads of other files, and the way to disk and back.
#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include "engine/io/safetensors.h"
#include "engine/io/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/pickle_writer.h"
#include "tests/support/synthetic_model.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::model {
namespace {

using engine::HostTensor;
using engine::TensorFile;
using test::TempDirectory;

TensorFile file_of(const VitConfig& config, std::map<std::string, std::string> metadata = {}) {
  TensorFile file;
  file.path = "m.safetensors";
  file.tensors = test::synthetic_tensors(config);
  file.metadata = std::move(metadata);
  return file;
}

VitConfig with_head(index_t classes, index_t blocks) {
  VitConfig config = test::synthetic_config();
  config.num_classes = classes;
  config.head_blocks = blocks;
  return config;
}

TEST(Checkpoint, TheConfigurationIsReadFromTheShapes) {
  for (VitConfig config : {test::synthetic_config(), with_head(1000, 1), with_head(4, 2)}) {
    EXPECT_EQ(load_checkpoint_from(file_of(config)).config, config);
    config.channels = 1;
    config.mlp_hidden = 100;
    config.patch_size = 7;
    EXPECT_EQ(load_checkpoint_from(file_of(config)).config, config);
  }
}

TEST(Checkpoint, HeadsComeFromTheOptionThenTheMetadataThenTheWidth) {
  const VitConfig config = test::synthetic_config();
  EXPECT_EQ(load_checkpoint_from(file_of(config)).config.num_heads, 2);
  EXPECT_EQ(load_checkpoint_from(file_of(config, {{"heads", "4"}})).config.num_heads, 4);
  CheckpointOptions options;
  options.heads = 8;
  EXPECT_EQ(load_checkpoint_from(file_of(config, {{"heads", "4"}}), options).config.num_heads, 8);
}

TEST(Checkpoint, HeadsThatDoNotDivideTheWidthAreRefused) {
  const VitConfig config = test::synthetic_config();
  CheckpointOptions options;
  for (const index_t heads : {index_t{3}, index_t{0}, index_t{-2}, index_t{256}}) {
    options.heads = heads;
    EXPECT_ERROR(load_checkpoint_from(file_of(config), options), "m.safetensors", "--heads",
                 std::to_string(heads), "128");
  }
  EXPECT_ERROR(load_checkpoint_from(file_of(config, {{"heads", "3"}})), "metadata 'heads'", "128");
}

TEST(Checkpoint, AWidthThatIsNoMultipleOf64WantsItsHeadsNamed) {
  VitConfig config = test::synthetic_config();
  config.embed_dim = 96;
  config.num_heads = 3;
  EXPECT_ERROR(load_checkpoint_from(file_of(config)), "m.safetensors", "96", "--heads");
  EXPECT_EQ(load_checkpoint_from(file_of(config, {{"heads", "3"}})).config, config);
}

TEST(Checkpoint, TheTrainedGridIsSquareUnlessTheInputSizeSaysOtherwise) {
  VitConfig config = test::synthetic_config();
  config.trained_grid_height = 2;
  config.trained_grid_width = 8;
  const Checkpoint rectangle = load_checkpoint_from(file_of(config, {{"input_size", "8x32"}}));
  EXPECT_EQ(rectangle.config, config);
  // A size that the embedding was resampled for says nothing about the grid it was trained on.
  const Checkpoint square = load_checkpoint_from(file_of(config, {{"input_size", "360x640"}}));
  EXPECT_EQ(square.config.trained_grid_height, 4);
  EXPECT_EQ(square.config.trained_grid_width, 4);
  config.trained_grid_width = 9;
  EXPECT_ERROR(load_checkpoint_from(file_of(config)), "pos_embed", "18", "input_size");
}

TEST(Checkpoint, ATrainedGridThatIsSaidGoesBeforeTheInputSize) {
  VitConfig config = test::synthetic_config();
  config.trained_grid_height = 2;
  config.trained_grid_width = 8;
  // 4x4 patches, as many, are what it is used with.
  const std::map<std::string, std::string> metadata = {{"trained_grid", "2x8"},
                                                       {"input_size", "16x16"}};
  EXPECT_EQ(load_checkpoint_from(file_of(config, metadata)).config, config);
  EXPECT_ERROR(load_checkpoint_from(file_of(config, {{"trained_grid", "3x8"}})), "trained_grid",
               "3x8", "16");
  EXPECT_ERROR(load_checkpoint_from(file_of(config, {{"trained_grid", "16"}})), "trained_grid",
               "ROWSxCOLUMNS");
}

TEST(Checkpoint, AHeadReadsWholeBlocksAndNoMoreThanThereAre) {
  TensorFile file = file_of(with_head(4, 1));
  file.tensors["head.weight"] = HostTensor::from_floats({4, 129}, std::vector<float>(4 * 129));
  EXPECT_ERROR(load_checkpoint_from(file), "'head.weight'", "(4, 129)");
  file.tensors["head.weight"] = HostTensor::from_floats({4, 384}, std::vector<float>(4 * 384));
  EXPECT_ERROR(load_checkpoint_from(file), "'head.weight'", "(4, 384)", "1 to 2");
  file = file_of(with_head(4, 1));
  file.tensors.erase("head.weight");
  EXPECT_ERROR(load_checkpoint_from(file), "'head.weight'", "missing");
  file = file_of(with_head(4, 1));
  file.tensors.erase("head.bias");
  EXPECT_ERROR(load_checkpoint_from(file), "'head.bias'", "missing");
}

TEST(Checkpoint, ABackboneLoadsAndSaysWhatItLacks) {
  const Checkpoint checkpoint = load_checkpoint_from(file_of(test::synthetic_config()));
  EXPECT_FALSE(checkpoint.config.has_head());
  EXPECT_ERROR(checkpoint.require_head(), "m.safetensors", "--head FILE");
  load_checkpoint_from(file_of(with_head(4, 1))).require_head();
}

TEST(Checkpoint, AHeadOfAnotherFileIsTakenWithItsLabels) {
  const TempDirectory folder;
  const std::vector<float> weight(5 * 256, 0.5f);
  const std::vector<float> bias(5, 0.25f);
  const auto head_weight = HostTensor::from_floats({5, 256}, weight);
  const auto head_bias = HostTensor::from_floats({5}, bias);
  const std::map<std::string, std::string> words = {{"labels", "a,b,c,d,e"}, {"mean", "9"}};
  for (const std::string prefix : {"head.", "classifier.", "module.linear.", ""}) {
    SCOPED_TRACE(prefix);
    const std::string path = (folder / "head.safetensors").string();
    engine::write_safetensors(
        path, {{prefix + "weight", head_weight}, {prefix + "bias", head_bias}}, words);
    CheckpointOptions options;
    options.head_file = path;
    const Checkpoint checkpoint =
        load_checkpoint_from(file_of(with_head(4, 1), {{"labels", "f,s,l,r"}}), options);
    EXPECT_EQ(checkpoint.config, with_head(5, 2));
    EXPECT_EQ(checkpoint.tensors.at("head.weight").to_floats(), weight);
    EXPECT_EQ(checkpoint.metadata.labels, (std::vector<std::string>{"a", "b", "c", "d", "e"}));
    EXPECT_EQ(checkpoint.metadata.mean, ModelMetadata().mean);
    EXPECT_EQ(checkpoint.left_out, (std::vector<std::string>{"head.bias", "head.weight"}));
  }
}

TEST(Checkpoint, AHeadFileWithoutAHeadIsNamed) {
  const TempDirectory folder;
  CheckpointOptions options;
  options.head_file = (folder / "h.safetensors").string();
  EXPECT_ERROR(load_checkpoint_from(file_of(test::synthetic_config()), options), "h.safetensors");
  engine::write_safetensors(*options.head_file, test::synthetic_tensors(test::synthetic_config()),
                            {});
  EXPECT_ERROR(load_checkpoint_from(file_of(test::synthetic_config()), options), "h.safetensors",
               "head.weight");
  engine::write_safetensors(*options.head_file,
                            {{"head.weight", HostTensor::from_floats({1}, std::vector<float>(1))}},
                            {});
  EXPECT_ERROR(load_checkpoint_from(file_of(test::synthetic_config()), options), "h.safetensors",
               "head.bias");
}

TEST(Checkpoint, SavingAndLoadingChangesNothing) {
  const TempDirectory folder;
  const std::string path = (folder / "m.safetensors").string();
  const Checkpoint before = load_checkpoint_from(
      file_of(with_head(4, 2), {{"mean", "0.5"}, {"heads", "4"}, {"thresholds", "0.4"}}));
  save_checkpoint(path, before);
  const Checkpoint after = load_checkpoint(path);
  EXPECT_EQ(after.config, before.config);
  EXPECT_EQ(after.metadata.labels, before.metadata.labels);
  EXPECT_EQ(after.metadata.thresholds, before.metadata.thresholds);
  EXPECT_EQ(after.metadata.mean, before.metadata.mean);
  EXPECT_EQ(after.format, "safetensors");
  EXPECT_EQ(after.sha256, engine::sha256_of_file(path));
  EXPECT_EQ(after.parameters(), before.parameters());
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_EQ(after.tensors.at(name).to_floats(), tensor.to_floats()) << name;
  }
}

TEST(Checkpoint, ParametersAreThoseOfThePapersViTS8) {
  // ViT-S/8: 21,670,272 backbone parameters (SPEC section 1); a head of four classes on four
  // blocks adds 4 (4 * 384 + 1).
  VitConfig config;
  config.embed_dim = 384;
  config.depth = 12;
  config.patch_size = 8;
  config.mlp_hidden = 1536;
  config.trained_grid_height = config.trained_grid_width = 28;
  const auto count = [&] {
    index_t sum = 0;
    for (const auto& [name, shape] : canonical_shapes(config)) {
      index_t product = 1;
      for (const index_t extent : shape) product *= extent;
      sum += product;
    }
    return sum;
  };
  EXPECT_EQ(count(), 21'670'272);
  config.num_classes = 4;
  config.head_blocks = 4;
  EXPECT_EQ(count(), 21'670'272 + 4 * (4 * 384 + 1));
}

TEST(Checkpoint, TheFormatIsToldByContentAndWhatIsNoneIsRefused) {
  const TempDirectory folder;
  const std::string path = (folder / "model.bin").string();
  const auto load = [&](const std::string& bytes) {
    test::write_bytes(path, bytes);
    return load_checkpoint(path);
  };
  EXPECT_ERROR(load_checkpoint(path), "model.bin", "No such file");
  EXPECT_ERROR(load_checkpoint(folder.path().string()), "a folder");
  EXPECT_ERROR(load(""), "model.bin", "empty");
  EXPECT_ERROR(load("\x89PNG\r\n\x1a\n and more"), "model.bin", "safetensors");
  EXPECT_ERROR(load("PK\x03\x04 and no more"), "model.bin", "zip");
  EXPECT_ERROR(load("\x80\x02}."), "model.bin", "magic number");
  // Both .pth formats reach the same check of names, under any file name.
  const test::TensorSpec spec = {"FloatStorage", "0", 1, 0, {1}, {1}};
  const test::Storages storages = {{"0", std::string(4, '\0')}};
  EXPECT_ERROR(load(test::torch_zip(test::pickled_tensors({{"odd", spec}}), storages)), "'odd'");
  EXPECT_ERROR(load(test::torch_legacy(test::pickled_tensors({{"odd", spec}}, true), storages)),
               "'odd'");
}

}  // namespace
}  // namespace vitsnna::model
