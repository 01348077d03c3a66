// `convert` and `info`: what comes out is what went in, under canonical names, and described.
#include <gtest/gtest.h>

#include "engine/io/safetensors.h"
#include "engine/io/sha256.h"
#include "tests/cli/cli_fixture.h"
#include "tests/support/pickle_writer.h"
#include "tests/support/shared_path.h"

namespace vitsnna::test {
namespace {

using nlohmann::json;

class CliConvert : public CliTest {
 protected:
  /// The small model as torch.save would write a state_dict.
  void save_pth(const std::string& name) const {
    std::vector<std::pair<std::string, TensorSpec>> specs;
    Storages storages;
    for (const auto& [tensor_name, tensor] : small_tensors(small_config(), 1)) {
      const std::string key = std::to_string(storages.size());
      TensorSpec spec{"FloatStorage", key, tensor.elements(), 0, tensor.shape, {}};
      spec.strides.assign(spec.shape.size(), 1);
      for (std::size_t axis = spec.shape.size(); axis-- > 1;) {
        spec.strides[axis - 1] = spec.strides[axis] * spec.shape[axis];
      }
      specs.emplace_back(tensor_name, spec);
      storages.emplace_back(key, float_bytes(tensor.to_floats()));
    }
    write_bytes(file(name), torch_zip(pickled_tensors(specs), storages));
  }
};

TEST_F(CliConvert, APthBecomesSafetensorsThatPredictTheSame) {
  save_pth("model.pth");
  const Outcome outcome = run_binary({"convert", file("model.pth"), file("new.safetensors")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  const engine::TensorFile before = engine::read_safetensors(file("model.safetensors"));
  const engine::TensorFile after = engine::read_safetensors(file("new.safetensors"));
  ASSERT_EQ(after.tensors.size(), before.tensors.size());
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_EQ(after.at(name).to_floats(), tensor.to_floats()) << name;
    EXPECT_EQ(after.at(name).shape, tensor.shape) << name;
  }
  const auto logits = [&](const std::string& model) {
    const Outcome result = run_binary(
        {"predict", "--model", file(model), "--heads", "2", "--json", file("street.png")});
    EXPECT_EQ(result.exit_code, 0) << result;
    return json::parse(result.out)["inputs"][0]["logits"];
  };
  EXPECT_EQ(logits("new.safetensors"), logits("model.safetensors"));
}

TEST_F(CliConvert, MetadataIsWrittenDown) {
  write_bytes(file("names.txt"), "go\nstop\nleft, please\nright\n");
  const Outcome outcome =
      run_binary({"convert", file("model.safetensors"), file("new.safetensors"), "--mean", "0.5",
                  "--std", "0.25,0.5,1", "--labels", file("names.txt"), "--activation", "softmax",
                  "--threshold", "0.3", "--input-size", "32x48", "--crop-pct", "0.9", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const Outcome described = run_binary({"info", "--json", file("new.safetensors")});
  ASSERT_EQ(described.exit_code, 0) << described;
  const json model = json::parse(described.out)["models"][0];
  EXPECT_EQ(model["metadata"]["mean"], json({.5, .5, .5}));
  EXPECT_EQ(model["metadata"]["std"], json({.25, .5, 1.}));
  EXPECT_EQ(model["metadata"]["labels"], json({"go", "stop", "left, please", "right"}));
  EXPECT_EQ(model["metadata"]["activation"], "softmax");
  EXPECT_EQ(model["metadata"]["input_size"], json({32, 48}));
  EXPECT_NEAR(model["metadata"]["crop_pct"].get<double>(), .9, 1e-9);
  EXPECT_EQ(model["metadata"]["thresholds"].size(), 4u);
  EXPECT_EQ(model["config"]["num_heads"], 2);
  EXPECT_EQ(model["forward"]["height"], 32);
  EXPECT_EQ(model["forward"]["width"], 48);
}

TEST_F(CliConvert, AnExistingFileIsKeptUnlessForcedAndTheInputAlways) {
  write_bytes(file("kept.safetensors"), "mine");
  expect_failure(run_binary({"convert", file("model.safetensors"), file("kept.safetensors")}), 1,
                 {"kept.safetensors", "--force"});
  EXPECT_EQ(read_bytes(file("kept.safetensors")), "mine");
  EXPECT_EQ(run_binary({"convert", file("model.safetensors"), file("kept.safetensors"), "--force"})
                .exit_code,
            0);
  expect_failure(
      run_binary({"convert", file("model.safetensors"), file("model.safetensors"), "--force"}), 1,
      {"model.safetensors"});
  expect_failure(run_binary({"convert", file("model.safetensors"), file("no/folder.safetensors")}),
                 1, {"folder.safetensors"});
}

TEST_F(CliConvert, InfoDescribesSeveralModelsAndCountsOperations) {
  const std::string path = file("model.safetensors");
  const Outcome outcome = run_binary({"info", "--json", "--size", "96", path, path});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const json models = json::parse(outcome.out)["models"];
  ASSERT_EQ(models.size(), 2u);
  const json& model = models[0];
  EXPECT_EQ(model["sha256"], engine::sha256_of_file(path));
  EXPECT_EQ(model["config"]["embed_dim"], 64);
  EXPECT_EQ(model["config"]["depth"], 4);
  EXPECT_EQ(model["config"]["trained_grid"], json({6, 6}));
  EXPECT_EQ(model["config"]["num_classes"], 4);
  std::int64_t parameters = 0;
  for (const json& tensor : model["tensors"]) {
    std::int64_t elements = 1;
    for (const json& extent : tensor["shape"]) elements *= extent.get<std::int64_t>();
    parameters += elements;
  }
  EXPECT_EQ(model["parameters"], parameters);
  EXPECT_EQ(model["forward"]["tokens"], 145);
  // Twice a multiply-add for each weight of three blocks and each of 145 tokens is a lower bound.
  EXPECT_GT(model["forward"]["flops"].get<double>(), 2. * 145 * 3 * (4 * 64 * 64 + 2 * 64 * 128));

  const Outcome plain = run_binary({"info", path});
  for (const char* text : {"ViT", "sigmoid", "forward", "blocks.0.attn.qkv.weight", "(192, 64)"}) {
    EXPECT_NE(plain.out.find(text), std::string::npos) << text << plain;
  }
}

TEST_F(CliConvert, AFullCheckpointGivesTheTeacherOrTheStudentAndSaysWhatIsLeftOut) {
  VITSNNA_SHARED_OR_SKIP(full, "golden/checkpoints/dino_full.pth");
  const auto left_out = [&](const std::string& part) {
    const Outcome outcome = run_binary(
        {"convert", full.string(), file(part + ".safetensors"), "--part", part, "--json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return json::parse(outcome.out)["left_out"].get<std::vector<std::string>>();
  };
  const std::vector<std::string> beside_teacher = left_out("teacher");
  const std::vector<std::string> beside_student = left_out("student");
  EXPECT_FALSE(beside_teacher.empty());
  EXPECT_NE(beside_teacher, beside_student);
}

}  // namespace
}  // namespace vitsnna::test
