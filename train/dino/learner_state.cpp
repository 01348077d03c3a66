// Walks the blocks of a learner with their names.
#include "train/dino/learner_state.h"

#include <fmt/format.h>

#include <functional>
#include <vector>

#include "kernels/error.h"

namespace vitsnna::train {
namespace {

using engine::HostTensor;

/// visit(name, shape, device memory) for every tensor of the state.
using Visit = std::function<void(const std::string&, const std::vector<index_t>&, float*)>;

void visit_block(const std::string& prefix, const model::Parameters& block, const Visit& visit) {
  for (const auto& entry : block.table().entries()) {
    visit(prefix + entry.name, entry.shape, block.data() + entry.offset);
  }
}

void visit_state(const DinoLearner& learner, const Visit& visit) {
  const struct {
    const char* name;
    const model::Parameters &student, &teacher;
    const OptimizerState& optimizer;
  } networks[] = {{"backbone", learner.student().backbone.parameters(),
                   learner.teacher().backbone.parameters(), learner.backbone_state()},
                  {"head", learner.student().head.parameters(), learner.teacher().head.parameters(),
                   learner.head_state()}};
  for (const auto& network : networks) {
    const std::string name = network.name;
    visit_block("student/" + name + ".", network.student, visit);
    visit_block("teacher/" + name + ".", network.teacher, visit);
    visit_block("first_moment/" + name + ".", network.optimizer.first_moment(), visit);
    visit_block("second_moment/" + name + ".", network.optimizer.second_moment(), visit);
    visit("moves/" + name, {network.optimizer.segments()}, network.optimizer.moves());
  }
  visit("centre", {learner.student().head.config().out_dim}, learner.centre());
}

index_t elements_of(const std::vector<index_t>& shape) {
  index_t elements = 1;
  for (const index_t extent : shape) elements *= extent;
  return elements;
}

HostTensor download(engine::Queue& queue, const std::vector<index_t>& shape, const float* device) {
  std::vector<float> values(static_cast<std::size_t>(elements_of(shape)));
  queue.download(values.data(), device, static_cast<index_t>(values.size()) * 4);
  queue.synchronize();
  return HostTensor::from_floats(shape, values);
}

}  // namespace

Tensors download(engine::Queue& queue, const model::Parameters& parameters) {
  Tensors tensors;
  visit_block("", parameters,
              [&](const std::string& name, const std::vector<index_t>& shape, float* device) {
                tensors.insert_or_assign(name, download(queue, shape, device));
              });
  return tensors;
}

void collect(engine::Queue& queue, const DinoLearner& learner, Tensors& tensors) {
  visit_state(learner,
              [&](const std::string& name, const std::vector<index_t>& shape, float* device) {
                tensors.insert_or_assign(name, download(queue, shape, device));
              });
}

void restore(engine::Queue& queue, DinoLearner& learner, const Tensors& tensors,
             const std::string& where) {
  visit_state(learner, [&](const std::string& name, const std::vector<index_t>& shape, float*) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw Error(fmt::format("{}: no tensor {}", where, name));
    if (found->second.shape != shape) {
      throw Error(fmt::format("{}: tensor {} is {}, ({}) wanted", where, name,
                              found->second.shape_text(), fmt::join(shape, ", ")));
    }
  });
  visit_state(learner,
              [&](const std::string& name, const std::vector<index_t>& shape, float* device) {
                const std::vector<float> values = tensors.at(name).to_floats();
                queue.upload(device, values.data(), elements_of(shape) * 4);
                queue.synchronize();
              });
  learner.refresh();
}

}  // namespace vitsnna::train
