// Every naming a file may use comes down to one set of names; what is unknown, double or missing is
// an error that names it.
#include <gtest/gtest.h>

#include <algorithm>

#include "model/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/synthetic_model.h"

namespace vitsnna::model {
namespace {

using engine::HostTensor;
using engine::TensorFile;

TensorFile file_of(std::map<std::string, HostTensor> tensors) {
  TensorFile file;
  file.path = "m.pth";
  file.tensors = std::move(tensors);
  return file;
}

TensorFile prefixed(const std::string& prefix, TensorFile file = {}) {
  file.path = "m.pth";
  for (auto& [name, tensor] : test::synthetic_tensors(test::synthetic_config())) {
    file.tensors[prefix + name] = std::move(tensor);
  }
  return file;
}

// The rows [third * n / 3, (third + 1) * n / 3) of a fused tensor.
HostTensor third_of(const HostTensor& fused, std::size_t third) {
  HostTensor part = fused;
  part.shape[0] /= 3;
  const std::size_t size = fused.bytes.size() / 3;
  part.bytes = fused.bytes.subspan(third * size, size);
  return part;
}

// The synthetic model under Hugging Face's names.
TensorFile hugging_face(const std::string& prefix) {
  const std::pair<std::string, std::string> outer[] = {
      {"cls_token", "embeddings.cls_token"},
      {"pos_embed", "embeddings.position_embeddings"},
      {"patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"},
      {"patch_embed.proj.bias", "embeddings.patch_embeddings.projection.bias"},
      {"norm.weight", "layernorm.weight"},
      {"norm.bias", "layernorm.bias"}};
  const std::pair<std::string, std::string> inner[] = {{"norm1", "layernorm_before"},
                                                       {"norm2", "layernorm_after"},
                                                       {"attn.proj", "attention.output.dense"},
                                                       {"mlp.fc1", "intermediate.dense"},
                                                       {"mlp.fc2", "output.dense"}};
  const auto tensors = test::synthetic_tensors(test::synthetic_config());
  TensorFile file = file_of({});
  for (const auto& [from, to] : outer) file.tensors[prefix + to] = tensors.at(from);
  for (const std::string block : {"0", "1"}) {
    for (const std::string end : {".weight", ".bias"}) {
      const std::string to = prefix + "encoder.layer." + block + ".";
      for (const auto& [from, name] : inner) {
        file.tensors[to + name + end] = tensors.at("blocks." + block + "." + from + end);
      }
      const HostTensor& fused = tensors.at("blocks." + block + ".attn.qkv" + end);
      file.tensors[to + "attention.attention.query" + end] = third_of(fused, 0);
      file.tensors[to + "attention.attention.key" + end] = third_of(fused, 1);
      file.tensors[to + "attention.attention.value" + end] = third_of(fused, 2);
    }
  }
  return file;
}

void expect_synthetic(const Checkpoint& checkpoint) {
  EXPECT_EQ(checkpoint.config, test::synthetic_config());
  const auto wanted = test::synthetic_tensors(test::synthetic_config());
  ASSERT_EQ(checkpoint.tensors.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) {
    EXPECT_EQ(checkpoint.tensors.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(checkpoint.tensors.at(name).to_floats(), tensor.to_floats()) << name;
  }
}

TEST(CheckpointNames, WrappersAreStripped) {
  for (const char* prefix :
       {"", "module.", "backbone.", "module.backbone.", "vit.", "model.", "state_dict.module."}) {
    SCOPED_TRACE(prefix);
    expect_synthetic(load_checkpoint_from(prefixed(prefix)));
  }
}

TEST(CheckpointNames, HuggingFaceNamesAndSeparateQueryKeyValueGiveTheSameModel) {
  for (const char* prefix : {"", "vit."})
    expect_synthetic(load_checkpoint_from(hugging_face(prefix)));
}

TEST(CheckpointNames, HalfPrecisionThirdsStayHalf) {
  TensorFile file = hugging_face("");
  for (auto& [name, tensor] : file.tensors) {
    tensor.type = engine::ElementType::bf16;
    tensor.bytes = tensor.bytes.first(tensor.bytes.size() / 2);
  }
  const Checkpoint checkpoint = load_checkpoint_from(file);
  EXPECT_EQ(checkpoint.tensors.at("blocks.1.attn.qkv.weight").type, engine::ElementType::bf16);
}

TEST(CheckpointNames, WhatBelongsToTrainingIsLeftOutAndReported) {
  TensorFile file = prefixed("teacher.backbone.", prefixed("student.module.backbone."));
  const HostTensor some = file.tensors.begin()->second;
  const std::vector<std::string> training = {"dino_loss.center",
                                             "optimizer.state.0.exp_avg",
                                             "teacher.head.mlp.0.weight",
                                             "teacher.head.mlp.4.bias",
                                             "teacher.head.last_layer.weight_g",
                                             "fp16_scaler.scale",
                                             "student.module.head.mlp.0.bias"};
  for (const std::string& name : training) file.tensors[name] = some;
  const Checkpoint checkpoint = load_checkpoint_from(file);
  expect_synthetic(checkpoint);
  EXPECT_EQ(checkpoint.left_out.size(), training.size() + checkpoint.tensors.size());
  for (const std::string& name : training) {
    EXPECT_EQ(std::count(checkpoint.left_out.begin(), checkpoint.left_out.end(), name), 1) << name;
  }
}

TEST(CheckpointNames, TheTeacherIsTakenUnlessTheStudentIsAskedFor) {
  TensorFile file = prefixed("teacher.backbone.", prefixed("student.module.backbone."));
  const std::vector<float> ones(128, 1.0f);
  const auto cls = HostTensor::from_floats({1, 1, 128}, ones);
  file.tensors["student.module.backbone.cls_token"] = cls;
  expect_synthetic(load_checkpoint_from(file));
  CheckpointOptions options;
  options.part = Part::student;
  EXPECT_EQ(load_checkpoint_from(file, options).tensors.at("cls_token").to_floats(), ones);
}

TEST(CheckpointNames, APartThatIsNotThereIsAnError) {
  CheckpointOptions student;
  student.part = Part::student;
  EXPECT_ERROR(load_checkpoint_from(prefixed(""), student), "m.pth", "student");
  EXPECT_ERROR(load_checkpoint_from(prefixed("teacher."), student), "m.pth", "no student");
  EXPECT_ERROR(load_checkpoint_from(prefixed("student.")), "m.pth", "no teacher");
}

TEST(CheckpointNames, PoolerIsLeftOutAndTheClassifierIsTheHead) {
  TensorFile file = hugging_face("vit.");
  const std::vector<float> weight(5 * 128, 0.5f);
  const std::vector<float> bias(5, 0.25f);
  file.tensors["vit.pooler.dense.weight"] = file.tensors.begin()->second;
  file.tensors["classifier.weight"] = HostTensor::from_floats({5, 128}, weight);
  file.tensors["classifier.bias"] = HostTensor::from_floats({5}, bias);
  const Checkpoint checkpoint = load_checkpoint_from(file);
  EXPECT_EQ(checkpoint.left_out, (std::vector<std::string>{"vit.pooler.dense.weight"}));
  EXPECT_EQ(checkpoint.config.num_classes, 5);
  EXPECT_EQ(checkpoint.tensors.at("head.weight").to_floats(), weight);
}

TEST(CheckpointNames, AnUnknownTensorIsAnErrorThatNamesIt) {
  for (const char* name :
       {"dist_token", "fc_norm.weight", "blocks.0.ls1.gamma", "blocks.x.norm1.weight",
        "blocks.01.norm1.weight", "blocks.0.norm1", "blocks.9999999.norm1.weight",
        "encoder.layer.0.attention.attention.query.scale", "embeddings.mask_token", "head.mlp"}) {
    TensorFile file = prefixed("");
    file.tensors[name] = file.tensors.begin()->second;
    EXPECT_ERROR(load_checkpoint_from(file), "m.pth", std::string("'") + name + "'");
  }
}

TEST(CheckpointNames, TwoTensorsForOnePlaceAreAnError) {
  TensorFile file = prefixed("");
  file.tensors["module.norm.weight"] = file.tensors["norm.weight"];
  EXPECT_ERROR(load_checkpoint_from(file), "m.pth", "'module.norm.weight'", "'norm.weight'");
  TensorFile both = hugging_face("");
  both.tensors["blocks.0.attn.qkv.weight"] =
      test::synthetic_tensors(test::synthetic_config()).at("blocks.0.attn.qkv.weight");
  EXPECT_ERROR(load_checkpoint_from(both), "blocks.0.attn.qkv.weight", "fused");
}

TEST(CheckpointNames, AMissingOrDifferentThirdIsNamed) {
  TensorFile missing = hugging_face("");
  missing.tensors.erase("encoder.layer.1.attention.attention.key.bias");
  EXPECT_ERROR(load_checkpoint_from(missing), "blocks.1.attn.qkv.bias", "key is missing");
  TensorFile other = hugging_face("");
  auto& key = other.tensors["encoder.layer.1.attention.attention.key.bias"];
  key = HostTensor::from_floats({1}, std::vector<float>(1));
  EXPECT_ERROR(load_checkpoint_from(other), "blocks.1.attn.qkv.bias", "key is", "(1)");
}

TEST(CheckpointNames, AMissingTensorIsNamedWhicheverItIs) {
  for (const auto& [name, shape] : canonical_shapes(test::synthetic_config())) {
    TensorFile file = prefixed("");
    file.tensors.erase(name);
    EXPECT_ERROR(load_checkpoint_from(file), "m.pth", "'" + name + "'", "missing");
  }
}

TEST(CheckpointNames, AMisshapenTensorIsNamedWhicheverItIs) {
  for (const auto& [name, shape] : canonical_shapes(test::synthetic_config())) {
    TensorFile file = prefixed("");
    HostTensor& tensor = file.tensors[name];
    tensor.shape.push_back(1);
    EXPECT_ERROR(load_checkpoint_from(file), "m.pth", "'" + name + "'", tensor.shape_text());
    tensor = HostTensor::from_floats({3}, std::vector<float>(3));
    // The width is read from patch_embed, so a shape that looks possible there is found elsewhere.
    EXPECT_ERROR(load_checkpoint_from(file), "m.pth", "'" + name + "'", "(3)");
  }
}

TEST(CheckpointNames, AGapInTheBlocksIsAMissingTensor) {
  TensorFile file = prefixed("");
  std::map<std::string, HostTensor> moved;
  for (auto& [name, tensor] : file.tensors) {
    const bool second = name.starts_with("blocks.1.");
    moved[second ? "blocks.7." + name.substr(9) : name] = tensor;
  }
  EXPECT_ERROR(load_checkpoint_from(file_of(moved)), "'blocks.1.", "missing");
}

TEST(CheckpointNames, IntegersAreNoWeights) {
  TensorFile file = prefixed("");
  file.tensors["norm.bias"].type = engine::ElementType::i32;
  EXPECT_ERROR(load_checkpoint_from(file), "'norm.bias'", "int32");
}

TEST(CheckpointNames, AnEmptyFileHasNoPatchEmbedding) {
  EXPECT_ERROR(load_checkpoint_from(file_of({})), "m.pth", "patch_embed.proj.weight");
}

}  // namespace
}  // namespace vitsnna::model
