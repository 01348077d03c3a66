// A golden vit_* file (its README says what it holds) as a model and the arrays beside it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/io/safetensors.h"
#include "model/checkpoint.h"

namespace vitsnna::test {

struct GoldenModel {
  model::Checkpoint checkpoint;
  engine::TensorFile file;  ///< in/*, out/* and weights/*
  nlohmann::json config;    ///< d, L, h, p, img, classes and, in some, last
};

inline GoldenModel load_golden_model(const std::filesystem::path& path) {
  GoldenModel golden;
  golden.file = engine::read_safetensors(path.string());
  golden.config = nlohmann::json::parse(golden.file.metadata.at("config"));
  engine::TensorFile weights;
  weights.path = golden.file.path;
  for (const auto& [name, tensor] : golden.file.tensors) {
    if (name.starts_with("weights/")) weights.tensors[name.substr(8)] = tensor;
  }
  model::CheckpointOptions options;
  options.heads = golden.config.at("h").get<model::index_t>();
  golden.checkpoint = model::load_checkpoint_from(weights, options);
  return golden;
}

}  // namespace vitsnna::test
