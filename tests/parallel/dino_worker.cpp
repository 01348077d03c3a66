// One rank of a DINO run on a small ViT and images made from seeds: dino_worker PARTS OUTPUT. Rank
// 0 writes what the run came to; PARTS is how many times a rank adds gradients before a step.
#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "engine/io/safetensors.h"
#include "kernels/error.h"
#include "tests/support/small_vit.h"
#include "train/dino/learner.h"
#include "train/parallel/connect.h"

namespace vitsnna::test {
namespace {

using engine::HostTensor;
using kernels::DType;
using kernels::index_t;

constexpr index_t kBatch = 4, kSteps = 3, kLocalCrops = 3;
constexpr index_t kGlobal = 48, kLocal = 24;

/// Crops of the images from `first` on, drawn for the image and the step, whoever has it.
std::vector<float> pixels(index_t crops, index_t size, index_t step, index_t first, index_t count) {
  std::vector<float> all;
  for (index_t crop = 0; crop < crops; ++crop) {
    for (index_t image = first; image < first + count; ++image) {
      const auto seed = static_cast<unsigned>(((step * 97 + image) * 31 + crop) * 101 + size);
      const std::vector<float> one = random_image(size, size, seed);
      all.insert(all.end(), one.begin(), one.end());
    }
  }
  return all;
}

class Run {
 public:
  explicit Run(train::Communicator& ranks)
      : ranks_(ranks), queue_(engine::select_device("cpu"), 1) {
    model::VitConfig config = small_config();
    config.num_classes = 0;
    train::DinoHeadConfig head;
    head.in_features = config.embed_dim;
    head.hidden = 32;
    head.bottleneck = 16;
    head.out_dim = 96;
    train::DinoOptions options;
    options.drop_path = {.4, 11};
    learner_ = std::make_unique<train::DinoLearner>(
        queue_, config, model::ModelMetadata(), head, small_tensors(config, 3),
        train::random_head(head, 5), DType::f32, options, &ranks);
  }

  void step(index_t index, index_t parts) {
    train::DinoStep step;
    step.number = index;
    step.learning_rate = 1e-3;
    step.weight_decay = .04;
    step.teacher_momentum = .9;
    learner_->begin(step);
    const bool broken = parts == 0 && ranks_.rank() + 1 == ranks_.size();
    parts = std::max<index_t>(parts, 1);
    const index_t share = kBatch / ranks_.size(), images = share / parts;
    for (index_t part = 0; part < parts; ++part) {
      const index_t first = ranks_.rank() * share + part * images;
      std::vector<float> global = pixels(2, kGlobal, index, first, images);
      if (broken) global[7] = std::numeric_limits<float>::quiet_NaN();
      const std::vector<float> local = pixels(kLocalCrops, kLocal, index, first, images);
      std::vector<index_t> numbers(static_cast<std::size_t>(images));
      std::iota(numbers.begin(), numbers.end(), first);
      learner_->add(images, {2, kGlobal, kGlobal, global.data()},
                    {kLocalCrops, kLocal, kLocal, local.data()}, kBatch, numbers);
    }
    const bool stop = index + 1 == kSteps && ranks_.rank() == ranks_.size() - 1;
    const train::DinoReport report = learner_->finish(kBatch, stop);
    if (!report.finite) {
      throw Error("the loss of rank " + std::to_string(report.non_finite_rank) +
                  " is not a number");
    }
    if (report.stop != (index + 1 == kSteps)) throw Error("a wrong report");
    add("monitors" + std::to_string(index),
        {static_cast<float>(report.loss), static_cast<float>(report.teacher_entropy),
         static_cast<float>(report.gradient_norm), static_cast<float>(report.centre_norm)});
    if (index == 0) {
      add_block("gradients/", learner_->backbone_state().gradients());
      add_block("gradients/head.", learner_->head_state().gradients());
    }
  }

  void finish(const std::string& path) {
    add_block("student/", learner_->student().backbone.parameters());
    add_block("student/head.", learner_->student().head.parameters());
    add_block("teacher/", learner_->teacher().backbone.parameters());
    add_block("teacher/head.", learner_->teacher().head.parameters());
    add("centre", std::vector<float>(learner_->centre(), learner_->centre() + 96));
    for (const auto& [name, tensor] : results_) {
      train::require_equal_ranks(
          ranks_, name,
          std::string_view(reinterpret_cast<const char*>(tensor.bytes.data()),
                           tensor.bytes.size()));
    }
    if (ranks_.rank() == 0) engine::write_safetensors(path, results_, {});
  }

 private:
  void add(const std::string& name, const std::vector<float>& values) {
    results_.emplace(name, HostTensor::from_floats({static_cast<index_t>(values.size())}, values));
  }
  void add_block(const std::string& prefix, const model::Parameters& parameters) {
    for (const auto& entry : parameters.table().entries()) {
      const float* first = parameters.data() + entry.offset;
      add(prefix + entry.name, std::vector<float>(first, first + entry.elements));
    }
  }

  train::Communicator& ranks_;
  engine::Queue queue_;
  std::unique_ptr<train::DinoLearner> learner_;
  std::map<std::string, HostTensor> results_;
};

}  // namespace
}  // namespace vitsnna::test

int main(int argc, char** argv) {
  using namespace vitsnna;
  if (argc != 3) return 2;
  const auto ranks = train::connect();
  train::run_guarded(*ranks, [&] {
    test::Run run(*ranks);
    for (kernels::index_t step = 0; step < test::kSteps; ++step)
      run.step(step, std::stoll(argv[1]));
    run.finish(argv[2]);
  });
  return 0;
}
