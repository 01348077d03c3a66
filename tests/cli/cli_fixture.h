// A folder with a small model and pictures, and the binary run on them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/io/npy.h"
#include "model/checkpoint.h"
#include "tests/cli/run_binary.h"
#include "tests/pictures/image_files.h"
#include "tests/support/small_vit.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::test {

/// The small ViT: 48x48 pixels, 6x6 patches of 8, four actions.
inline void save_small_model(const std::filesystem::path& path,
                             const model::VitConfig& config = small_config(),
                             const model::ModelMetadata& metadata = small_metadata()) {
  model::Checkpoint checkpoint;
  checkpoint.config = config;
  checkpoint.metadata = metadata;
  checkpoint.tensors = small_tensors(config, 1);
  model::save_checkpoint(path, checkpoint);
}

class CliTest : public testing::Test {
 protected:
  void SetUp() override {
    save_small_model(file("model.safetensors"));
    write_bytes(file("street.png"), encode(".png", gradient_image(60, 70)));
  }

  std::string file(const std::string& name) const { return (directory_ / name).string(); }
  std::string output(const std::string& name) const { return (directory_ / "out" / name).string(); }
  std::vector<std::string> outputs() const { return names_in(directory_ / "out"); }

  /// `explain --model M --output out`, then the arguments.
  std::vector<std::string> explain_arguments(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"explain", "--model", file("model.safetensors"), "--output",
                                    file("out")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return on_the_cpu(all);
  }
  Outcome explain(const std::vector<std::string>& arguments) const {
    return run_binary(explain_arguments(arguments));
  }
  /// explain() that must succeed, with its manifest.
  nlohmann::json manifest_of(const std::vector<std::string>& arguments) const {
    const Outcome outcome = explain(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return nlohmann::json::parse(read_bytes(output("manifest.json")));
  }
  std::vector<float> map(const std::string& name) const {
    return engine::read_npy(output(name)).to_floats();
  }
  /// Fails as `expect_failure` says, and leaves no output folder behind.
  void expect_nothing_written(const Outcome& outcome, int code,
                              const std::vector<std::string>& texts) const {
    expect_failure(outcome, code, texts);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "out"));
  }
  /// A random normalised input of 48x48, or `count` of them.
  void save_tensor(const std::string& name, std::int64_t count = 0) const {
    const std::vector<float> pixels = random_image(48, 48 * std::max<std::int64_t>(count, 1), 7);
    if (count == 0) {
      engine::write_npy(file(name), {3, 48, 48}, pixels);
    } else {
      engine::write_npy(file(name), {count, 3, 48, 48}, pixels);
    }
  }

  TempDirectory directory_;
};

}  // namespace vitsnna::test
