// The golden DINO run, step by step: losses, centre, student and teacher.
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/io/safetensors.h"
#include "tests/support/relative_error.h"
#include "tests/support/shared_path.h"
#include "tests/support/test_device.h"
#include "train/dino/learner.h"

namespace vitsnna {
namespace {

using engine::HostTensor;
using kernels::DType;
using kernels::index_t;

constexpr double kTolerance = 1e-4;

class GoldenRun {
 public:
  explicit GoldenRun(const std::string& path, double drop_path = 0.)
      : file_(engine::read_safetensors(path)),
        settings_(nlohmann::json::object()),
        queue_(test::test_device(), 2) {
    const auto text = [&](const char* key) { return file_.metadata.at(key); };
    const auto shape = nlohmann::json::parse(text("config"));
    config_.embed_dim = shape.at("d");
    config_.depth = shape.at("L");
    config_.num_heads = shape.at("h");
    config_.patch_size = shape.at("p");
    config_.mlp_hidden = 4 * config_.embed_dim;
    config_.trained_grid_height = config_.trained_grid_width =
        shape.at("img").get<index_t>() / config_.patch_size;
    const auto head = nlohmann::json::parse(text("head"));
    head_.in_features = config_.embed_dim;
    head_.hidden = head.at("hidden");
    head_.bottleneck = head.at("bottleneck");
    head_.out_dim = head.at("out");
    head_.norm_last_layer = text("norm_last_layer") == "True";
    options_.student_temperature = std::stof(text("student_temp"));
    options_.centre_momentum = std::stof(text("center_momentum"));
    options_.clip = std::stof(text("clip"));
    options_.drop_path = {drop_path, 11};
    images_ = std::stoll(text("batch"));
    learner_ = std::make_unique<train::DinoLearner>(queue_, config_, model::ModelMetadata(), head_,
                                                    tensors("init/backbone."),
                                                    tensors("init/head."), DType::f32, options_);
  }

  index_t steps() const { return file_.at("out/losses").elements(); }
  double number(const std::string& name, index_t at) const {
    double value = 0;
    std::memcpy(&value, file_.at(name).bytes.data() + at * 8, 8);
    return value;
  }

  train::DinoReport step(index_t index, index_t parts = 1) {
    const index_t epoch = index / std::stoll(file_.metadata.at("iters_per_epoch"));
    train::DinoStep step;
    step.learning_rate = number("sched/lr", index);
    step.weight_decay = number("sched/wd", index);
    step.teacher_momentum = number("sched/momentum", index);
    step.teacher_temperature = std::stod(file_.metadata.at("teacher_temp"));
    step.number = index;
    step.freeze_last_layer = epoch < std::stoll(file_.metadata.at("freeze_last_layer_epochs"));
    learner_->begin(step);
    const std::string prefix = "in/step" + std::to_string(index) + "/";
    const index_t images = images_ / parts;
    for (index_t part = 0; part < parts; ++part) {
      const Crops global = crops(prefix + "global", part * images, images);
      const Crops local = crops(prefix + "local", part * images, images);
      std::vector<index_t> numbers(static_cast<std::size_t>(images));
      std::iota(numbers.begin(), numbers.end(), part * images);
      learner_->add(images, global.crops, local.crops, images_, numbers);
    }
    return learner_->finish(images_);
  }

  std::vector<float> values(const model::Parameters& parameters, const std::string& name) {
    const auto& entry = parameters.table().at(name);
    std::vector<float> result(static_cast<std::size_t>(entry.elements));
    queue_.download(result.data(), parameters.data() + entry.offset, entry.elements * 4);
    queue_.synchronize();
    return result;
  }
  std::vector<float> centre() {
    std::vector<float> result(static_cast<std::size_t>(head_.out_dim));
    queue_.download(result.data(), learner_->centre(), head_.out_dim * 4);
    queue_.synchronize();
    return result;
  }

  const engine::TensorFile& file() const { return file_; }
  train::DinoLearner& learner() { return *learner_; }
  index_t images() const { return images_; }

 private:
  struct Crops {
    train::CropBatch crops;
    std::vector<float> pixels;
  };

  /// Images first .. first + count - 1 of every crop of that name.
  Crops crops(const std::string& prefix, index_t first, index_t count) {
    Crops result;
    for (index_t crop = 0;; ++crop) {
      const auto found = file_.tensors.find(prefix + std::to_string(crop));
      if (found == file_.tensors.end()) break;
      const HostTensor& tensor = found->second;
      const std::vector<float> all = tensor.to_floats();
      const index_t image = tensor.elements() / tensor.shape[0];
      result.pixels.insert(result.pixels.end(), all.begin() + first * image,
                           all.begin() + (first + count) * image);
      result.crops.crops = crop + 1;
      result.crops.height = tensor.shape[2];
      result.crops.width = tensor.shape[3];
    }
    const auto bytes = static_cast<index_t>(result.pixels.size()) * 4;
    uploads_.push_back(std::make_unique<engine::Arena>(&queue_.backend(), bytes + 64));
    const engine::Tensor device =
        uploads_.back()->allocate(DType::f32, {static_cast<index_t>(result.pixels.size())});
    queue_.upload(device.data, result.pixels.data(), bytes);
    queue_.synchronize();
    result.crops.pixels = device.f32();
    return result;
  }

  std::map<std::string, HostTensor> tensors(const std::string& prefix) const {
    std::map<std::string, HostTensor> result;
    for (const auto& [name, tensor] : file_.tensors) {
      if (name.starts_with(prefix)) result.emplace(name.substr(prefix.size()), tensor);
    }
    return result;
  }

  engine::TensorFile file_;
  nlohmann::json settings_;
  engine::Queue queue_;
  model::VitConfig config_;
  train::DinoHeadConfig head_;
  train::DinoOptions options_;
  index_t images_ = 0;
  std::vector<std::unique_ptr<engine::Arena>> uploads_;
  std::unique_ptr<train::DinoLearner> learner_;
};

/// The key's third of a (3 d) bias of query, key and value.
std::vector<float> take_key_bias(std::vector<float>& bias) {
  const auto third = static_cast<std::ptrdiff_t>(bias.size() / 3);
  const std::vector<float> key(bias.begin() + third, bias.begin() + 2 * third);
  bias.erase(bias.begin() + third, bias.begin() + 2 * third);
  return key;
}

/// Softmax does not see a shift of all of a query's scores, so the gradient of the key's bias is 0
/// and what AdamW divides by its own size is rounding: the values wander, each step by at most
/// 1.1 learning rates in these few steps (Cauchy-Schwarz over the weights of both moments).
void expect_wandered_little(const std::vector<float>& a, const std::vector<float>& b,
                            double sum_of_learning_rates) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double rounding = 0x1p-23 * static_cast<double>(std::abs(b[i]));
    EXPECT_LE(std::abs(a[i] - b[i]), 2.2 * sum_of_learning_rates + rounding) << i;
  }
}

/// Every tensor of student and teacher that the file has for this step; the worst relative error.
double worst_weight(GoldenRun& run, index_t step) {
  double worst = 0;
  for (const auto& [name, tensor] : run.file().tensors) {
    for (const bool teacher : {false, true}) {
      const train::DinoNetwork& network =
          teacher ? run.learner().teacher() : run.learner().student();
      const std::string prefix =
          "out/step" + std::to_string(step) + (teacher ? "/teacher/" : "/student/");
      if (!name.starts_with(prefix)) continue;
      const std::string full = name.substr(prefix.size());
      const bool head = full.starts_with("head.");
      std::vector<float> found =
          run.values(head ? network.head.parameters() : network.backbone.parameters(),
                     full.substr(head ? 5 : 9));
      std::vector<float> wanted = tensor.to_floats();
      if (name.ends_with("attn.qkv.bias")) {
        double learning_rates = 0;
        for (index_t k = 0; k <= step; ++k) learning_rates += run.number("sched/lr", k);
        expect_wandered_little(take_key_bias(found), take_key_bias(wanted), learning_rates);
      }
      const double error = test::relative_error(found, wanted);
      EXPECT_LT(error, kTolerance) << name;
      worst = std::max(worst, error);
    }
  }
  return worst;
}

TEST(DinoGolden, EveryStep) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/dino_steps.safetensors");
  GoldenRun run(path.string());
  double worst_loss = 0, worst_centre = 0, worst = 0;
  for (index_t step = 0; step < run.steps(); ++step) {
    const train::DinoReport report = run.step(step);
    const double loss = run.number("out/losses", step);
    worst_loss = std::max(worst_loss, std::abs(report.loss - loss) / loss);
    EXPECT_NEAR(report.loss, loss, kTolerance * loss) << step;
    EXPECT_TRUE(report.finite);
    EXPECT_GT(report.divergence, 0);
    const std::string centre = "out/step" + std::to_string(step) + "/center";
    const double error = test::relative_error(run.centre(), run.file().at(centre).to_floats());
    EXPECT_LT(error, kTolerance) << centre;
    worst_centre = std::max(worst_centre, error);
    worst = std::max(worst, worst_weight(run, step));
  }
  std::cout << "worst relative error: loss " << worst_loss << ", centre " << worst_centre
            << ", weights " << worst << "\n";
}

/// Three parts of one image are the batch of three: loss, centre and weights to fp32 rounding, with
/// drop path too.
class DinoGoldenParts : public testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(DropPath, DinoGoldenParts, testing::Values(0., .4));

TEST_P(DinoGoldenParts, AccumulationEqualsTheLargeBatch) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/dino_steps.safetensors");
  GoldenRun whole(path.string(), GetParam()), parts(path.string(), GetParam());
  for (index_t step = 0; step < 4; ++step) {
    const train::DinoReport a = whole.step(step), b = parts.step(step, whole.images());
    EXPECT_NEAR(a.loss, b.loss, 2e-6 * a.loss) << step;
    EXPECT_NEAR(a.teacher_entropy, b.teacher_entropy, 2e-6 * a.teacher_entropy) << step;
    EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-4 * a.gradient_norm) << step;
    EXPECT_LT(test::relative_error(parts.centre(), whole.centre()), 2e-5) << step;
  }
}

TEST(DinoGolden, DropPathIsTheStudentsAlone) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/dino_steps.safetensors");
  GoldenRun plain(path.string()), dropped(path.string(), .4);
  const train::DinoReport a = plain.step(0), b = dropped.step(0);
  EXPECT_NE(a.loss, b.loss);
  EXPECT_EQ(a.teacher_entropy, b.teacher_entropy);
  EXPECT_EQ(plain.centre(), dropped.centre());
}

/// With a learning rate of 0 (the warm-up's first step) the student keeps its bits, and so does the
/// frozen last layer in the steps that follow.
TEST(DinoGolden, Step0ChangesNothingAndAFrozenLastLayerStands) {
  VITSNNA_SHARED_OR_SKIP(path, "golden/dino_steps.safetensors");
  GoldenRun run(path.string());
  const model::Parameters& backbone = run.learner().student().backbone.parameters();
  const model::Parameters& head = run.learner().student().head.parameters();
  const auto block = [&](const model::Parameters& parameters) {
    std::vector<float> all;
    for (const auto& entry : parameters.table().entries()) {
      const std::vector<float> one = run.values(parameters, entry.name);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
  const std::vector<float> before = block(backbone), head_before = block(head);
  const std::vector<float> last = run.values(head, "last_layer.weight_v");
  run.step(0);
  EXPECT_EQ(block(backbone), before);
  EXPECT_EQ(block(head), head_before);
  run.step(1);
  EXPECT_NE(block(backbone), before);
  EXPECT_EQ(run.values(head, "last_layer.weight_v"), last);
  run.step(2);  // the second epoch: it moves
  EXPECT_NE(run.values(head, "last_layer.weight_v"), last);
}

}  // namespace
}  // namespace vitsnna
