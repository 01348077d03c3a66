// Real photographs through the whole binary: the shared ViT-Tiny must know most of them.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/run_binary.h"
#include "tests/support/shared_path.h"

namespace vitsnna::test {
namespace {

TEST(CliPhotographs, TheSharedViTTinyGetsAtLeast160Of200Right) {
  VITSNNA_SHARED_OR_SKIP(model, "data/vit_tiny/vit_tiny_patch16_224.safetensors");
  VITSNNA_SHARED_OR_SKIP(images, "data/imagenet_sample/images");
  VITSNNA_SHARED_OR_SKIP(table, "data/imagenet_sample/labels.csv");
  std::map<std::string, int> wanted;
  std::ifstream lines(table);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    const std::size_t comma = line.find(',');
    wanted[line.substr(0, comma)] = std::stoi(line.substr(comma + 1));
  }
  const Outcome outcome =
      run_binary({"predict", "--json", "--model", model.string(), images.string()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const nlohmann::json inputs = nlohmann::json::parse(outcome.out)["inputs"];
  ASSERT_EQ(inputs.size(), wanted.size());
  int right = 0;
  for (const auto& input : inputs) {
    const auto name = std::filesystem::path(input["input"].get<std::string>()).filename().string();
    ASSERT_TRUE(wanted.contains(name)) << name;
    right += input["predicted"][0]["index"] == wanted[name] ? 1 : 0;
  }
  RecordProperty("right", right);
  EXPECT_GE(right * 200, 160 * static_cast<int>(wanted.size()));
}

}  // namespace
}  // namespace vitsnna::test
