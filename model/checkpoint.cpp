// Loading: read, name, infer the configuration from shapes, check every shape against it.
#include "model/checkpoint.h"

#include <fmt/format.h>

#include <utility>

#include "engine/io/checkpoint_file.h"
#include "engine/io/printable.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"
#include "model/checkpoint_config.h"
#include "model/checkpoint_metadata.h"

namespace vitsnna::model {

using engine::CheckpointFile;
using engine::HostTensor;
using engine::printable;
using engine::TensorFile;

namespace {

std::vector<std::string> names_of(const TensorFile& file) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors) names.push_back(name);
  return names;
}

std::vector<std::string> sources_of(const NamePlan& plan) {
  std::vector<std::string> names;
  for (const auto& [name, destination] : plan.sources) names.push_back(name);
  return names;
}

struct Head {
  std::map<std::string, HostTensor> tensors;
  StringMap metadata;
};

// The head of another file, which may hold a whole model or nothing but the linear layer.
Head load_head(const std::string& path) {
  NamePlan plan;
  const CheckpointFile file =
      engine::read_checkpoint_file(path, [&](const std::vector<std::string>& names) {
        if (names == std::vector<std::string>{"bias", "weight"}) {
          plan.sources = {{"bias", {"head.bias"}}, {"weight", {"head.weight"}}};
        } else {
          plan = plan_names(path, names, {});
          std::erase_if(plan.sources, [](const auto& source) {
            return !source.second.canonical.starts_with("head.");
          });
        }
        return sources_of(plan);
      });
  Head head = {canonical_tensors(file.content, plan), file.content.metadata};
  for (const char* name : {"head.weight", "head.bias"}) {
    if (!head.tensors.contains(name)) {
      throw Error(fmt::format("{}: holds no {}, a classification head was wanted",
                              printable(path, 1000), name));
    }
  }
  return head;
}

Checkpoint assemble(const TensorFile& file, const NamePlan& plan,
                    const CheckpointOptions& options) {
  Checkpoint checkpoint;
  checkpoint.path = file.path;
  checkpoint.left_out = plan.left_out;
  checkpoint.tensors = canonical_tensors(file, plan);
  StringMap metadata = file.metadata;
  if (options.head_file) {
    for (const auto& [name, destination] : plan.sources) {
      if (destination.canonical.starts_with("head.")) checkpoint.left_out.push_back(name);
    }
    Head head = load_head(*options.head_file);
    for (auto& [name, tensor] : head.tensors) checkpoint.tensors[name] = std::move(tensor);
    // What describes the classes comes with the head; the old head's words would be wrong.
    for (const char* key : {"labels", "activation", "thresholds"}) {
      metadata.erase(key);
      if (const auto found = head.metadata.find(key); found != head.metadata.end()) {
        metadata.insert(*found);
      }
    }
  }
  checkpoint.config = infer_config(file.path, checkpoint.tensors, metadata, options.heads);
  check_tensors(file.path, checkpoint.tensors, checkpoint.config);
  checkpoint.metadata = parse_metadata(file.path, metadata, checkpoint.config.num_classes);
  return checkpoint;
}

}  // namespace

index_t Checkpoint::parameters() const {
  index_t sum = 0;
  for (const auto& [name, tensor] : tensors) sum += tensor.elements();
  return sum;
}

void Checkpoint::require_head() const {
  if (config.has_head()) return;
  throw Error(fmt::format("{}: is a backbone without a classification head: --head FILE brings one",
                          printable(path, 1000)));
}

Checkpoint load_checkpoint(const std::string& path, const CheckpointOptions& options) {
  NamePlan plan;
  const CheckpointFile file =
      engine::read_checkpoint_file(path, [&](const std::vector<std::string>& names) {
        plan = plan_names(path, names, options.part);
        return sources_of(plan);
      });
  Checkpoint checkpoint = assemble(file.content, plan, options);
  checkpoint.format = file.format;
  checkpoint.sha256 = file.sha256;
  return checkpoint;
}

Checkpoint load_checkpoint_from(const TensorFile& file, const CheckpointOptions& options) {
  const NamePlan plan = plan_names(file.path, names_of(file), options.part);
  return assemble(file, plan, options);
}

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  engine::write_safetensors(path, checkpoint.tensors,
                            metadata_text(checkpoint.config, checkpoint.metadata));
}

}  // namespace vitsnna::model
