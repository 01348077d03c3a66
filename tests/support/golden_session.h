// A golden ViT on a device: what the golden tests run passes on.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "engine/queue.h"
#include "model/backward.h"
#include "model/forward.h"
#include "tests/support/golden_model.h"
#include "tests/support/shared_path.h"
#include "tests/support/test_device.h"

namespace vitsnna::test {

/// Every vit_*.safetensors with weights in the golden folder, by name.
inline std::vector<std::filesystem::path> golden_vits() {
  std::vector<std::filesystem::path> paths;
  const std::filesystem::path folder = shared_path("golden");
  if (!std::filesystem::is_directory(folder)) return paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("vit_") && name.ends_with(".safetensors") &&
        engine::read_safetensors(entry.path().string()).tensors.contains("weights/cls_token")) {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class GoldenSession {
 public:
  explicit GoldenSession(const std::filesystem::path& path,
                         kernels::DType precision = kernels::DType::f32, int threads = 2)
      : golden(load_golden_model(path)),
        queue(test_device(), threads),
        vit(queue, golden.checkpoint.config, golden.checkpoint.metadata, golden.checkpoint.tensors,
            precision),
        arena(&queue.backend(), kernels::index_t{256} << 20) {
    queue.reserve_scratch(kernels::index_t{64} << 20);
  }

  bool has(const std::string& name) const { return golden.file.tensors.contains(name); }
  std::vector<float> array(const std::string& name) const {
    return golden.file.at(name).to_floats();
  }
  model::PassContext pass() { return {vit, queue, arena}; }

  engine::Tensor upload(const std::vector<float>& values, engine::Shape shape) {
    const engine::Tensor tensor = arena.allocate(kernels::DType::f32, shape);
    queue.upload(tensor.data, values.data(), tensor.bytes());
    return tensor;
  }
  std::vector<float> download(const engine::Tensor& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
    queue.download(values.data(), tensor.f32(), tensor.bytes());
    queue.synchronize();
    return values;
  }

  /// The golden's batch of images as a forward's input.
  model::ForwardInput images() {
    const auto& shape = golden.file.at("in/images").shape;
    const engine::Tensor images =
        upload(array("in/images"), {shape[0], shape[1], shape[2], shape[3]});
    model::ForwardInput input;
    input.images.image = images.f32();
    input.images.image_stride = shape[1] * shape[2] * shape[3];
    input.images.height = shape[2];
    input.images.width = shape[3];
    return input;
  }
  kernels::index_t batch() const { return golden.file.at("in/images").shape[0]; }

  GoldenModel golden;
  engine::Queue queue;
  model::Vit vit;
  engine::Arena arena;
};

}  // namespace vitsnna::test
