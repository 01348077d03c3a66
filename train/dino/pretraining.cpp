// Divides a batch among ranks and parts, and hands each part's crops to the learner.
#include "train/dino/pretraining.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "kernels/error.h"
#include "train/data/model_input.h"
#include "train/data/staging.h"

namespace vitsnna::train {
namespace {

/// The backbone alone.
model::Checkpoint without_head(model::Checkpoint checkpoint) {
  checkpoint.config.num_classes = 0;
  checkpoint.config.head_blocks = 1;
  checkpoint.tensors.erase("head.weight");
  checkpoint.tensors.erase("head.bias");
  checkpoint.metadata.labels.clear();
  checkpoint.metadata.thresholds.clear();
  return checkpoint;
}

model::Checkpoint without_tensors(model::Checkpoint checkpoint) {
  checkpoint.tensors.clear();
  return checkpoint;
}

DinoHeadConfig head_of(const PretrainOptions& options, const model::VitConfig& config) {
  DinoHeadConfig head = options.head;
  head.in_features = config.embed_dim;
  return head;
}

DinoOptions learner_options(const PretrainOptions& options) {
  DinoOptions learner = options.learner;
  learner.drop_path = {options.drop_path, options.seed};
  return learner;
}

LoaderOptions loader_options(const PretrainOptions& options, const Communicator& communicator,
                             const model::ModelMetadata& metadata) {
  const index_t ranks = communicator.size(), parts = options.accumulate;
  if (parts < 1 || options.batch < 1 || options.batch % (ranks * parts) != 0) {
    throw Error(fmt::format(
        "--batch: {} images over {} rank{} with --accumulate {}, a multiple of {} wanted",
        options.batch, ranks, ranks == 1 ? "" : "s", parts, ranks * std::max<index_t>(parts, 1)));
  }
  LoaderOptions loader;
  loader.crops = dino_recipe(options.crops);
  loader.batch = options.batch / (ranks * parts);
  loader.parts = parts;
  loader.rank = communicator.rank();
  loader.ranks = communicator.size();
  loader.seed = options.seed;
  loader.threads = options.decode_threads;
  loader.least_short_side = least_short_side(loader.crops);
  loader.max_bad = options.max_bad;
  loader.cache = options.cache;
  loader.cache_folder = options.cache_folder;
  loader.format.mean = metadata.mean;
  loader.format.deviation = metadata.deviation;
  loader.report = options.report_bad;
  return loader;
}

/// `count` crops of every image from the group's `first` one on.
CropBatch crops_of(const CropGroup& group, index_t first, index_t count, index_t images) {
  CropBatch crops;
  crops.crops = count;
  crops.height = group.size.height;
  crops.width = group.size.width;
  crops.pixels = group.pixels.f32() + first * images * 3 * group.size.area();
  return crops;
}

engine::HostTensor download(engine::Queue& queue, const CropBatch& crops, index_t images) {
  const std::vector<std::int64_t> shape = {crops.crops * images, 3, crops.height, crops.width};
  std::vector<float> values(static_cast<std::size_t>(shape[0] * 3 * crops.height * crops.width));
  queue.download(values.data(), crops.pixels, static_cast<index_t>(values.size()) * 4);
  queue.synchronize();
  return engine::HostTensor::from_floats(shape, values);
}

engine::HostTensor numbers_tensor(const std::vector<index_t>& numbers) {
  const auto storage = std::make_shared<const std::vector<index_t>>(numbers);
  engine::HostTensor tensor;
  tensor.type = engine::ElementType::i64;
  tensor.shape = {static_cast<std::int64_t>(storage->size())};
  tensor.bytes = std::as_bytes(std::span(*storage));
  tensor.storage = storage;
  return tensor;
}

std::string part_name(index_t part, const char* what) {
  return fmt::format("part-{}/{}", part, what);
}

const engine::HostTensor& tensor_of(const Tensors& tensors, const std::string& name,
                                    const std::vector<std::int64_t>& shape,
                                    const std::string& where) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw Error(fmt::format("{}: no tensor {}", where, name));
  if (found->second.shape != shape) {
    throw Error(fmt::format("{}: tensor {} is {}, ({}) wanted", where, name,
                            found->second.shape_text(), fmt::join(shape, ", ")));
  }
  return found->second;
}

/// How often each tensor has moved. A step counts its moves before anyone knows whether its numbers
/// are finite.
class MoveCounts {
 public:
  MoveCounts(engine::Queue& queue, const DinoLearner& learner)
      : backbone_(read(queue, learner.backbone_state())),
        head_(read(queue, learner.head_state())) {}

  void put_back(engine::Queue& queue, const DinoLearner& learner) const {
    queue.upload(learner.backbone_state().moves(), backbone_.data(), bytes(backbone_));
    queue.upload(learner.head_state().moves(), head_.data(), bytes(head_));
    queue.synchronize();
  }

 private:
  static index_t bytes(const std::vector<float>& counts) {
    return static_cast<index_t>(counts.size()) * 4;
  }
  static std::vector<float> read(engine::Queue& queue, const OptimizerState& state) {
    std::vector<float> counts(static_cast<std::size_t>(state.segments()));
    queue.download(counts.data(), state.moves(), bytes(counts));
    queue.synchronize();
    return counts;
  }

  std::vector<float> backbone_, head_;
};

}  // namespace

DinoSchedules::DinoSchedules(const PretrainOptions& options, index_t steps_per_epoch)
    : steps_per_epoch_(steps_per_epoch),
      teacher_temperature_(options.teacher_temperature),
      freeze_epochs_(options.freeze_last_layer_epochs) {
  if (options.epochs < 1 || options.warmup_epochs < 0 || options.warmup_epochs > options.epochs) {
    throw Error(fmt::format("--warmup-epochs: {} of {} epochs, at most all of them wanted",
                            options.warmup_epochs, options.epochs));
  }
  const index_t steps = options.epochs * steps_per_epoch;
  learning_rate_.base = options.learning_rate * static_cast<double>(options.batch) / 256.;
  learning_rate_.final = options.final_learning_rate;
  learning_rate_.warmup_steps = options.warmup_epochs * steps_per_epoch;
  weight_decay_.base = options.weight_decay;
  weight_decay_.final = options.final_weight_decay;
  teacher_momentum_.base = options.teacher_momentum;
  teacher_momentum_.final = 1.;
  learning_rate_.steps = weight_decay_.steps = teacher_momentum_.steps = steps;
}

DinoStep DinoSchedules::at(index_t step) const {
  const index_t epoch = step / steps_per_epoch_;
  DinoStep result;
  result.number = step;
  result.learning_rate = learning_rate_.at(step);
  result.weight_decay = weight_decay_.at(step);
  result.teacher_momentum = teacher_momentum_.at(step);
  result.teacher_temperature = teacher_temperature_.at(epoch);
  result.freeze_last_layer = epoch < freeze_epochs_;
  return result;
}

std::string collapse_warning(double teacher_entropy, index_t out_dim) {
  const double most = std::log(static_cast<double>(out_dim));
  if (teacher_entropy > .999 * most) {
    return fmt::format(
        "collapse: the teacher's entropy {:.4f} is near ln(out_dim) = {:.4f}, every "
        "image gets the uniform distribution",
        teacher_entropy, most);
  }
  if (teacher_entropy < .001 * most) {
    return fmt::format(
        "collapse: the teacher's entropy {:.2g} is near 0, every image gets one and "
        "the same dimension or the targets have hardened",
        teacher_entropy);
  }
  return {};
}

Pretraining::Pretraining(engine::Queue& queue, Communicator& communicator,
                         const PretrainOptions& options, const model::Checkpoint& backbone,
                         const Dataset& dataset, ImageReader reader)
    : queue_(queue),
      communicator_(communicator),
      options_(options),
      model_(without_tensors(without_head(backbone))),
      learner_(queue, model_.config, model_.metadata, head_of(options, model_.config),
               without_head(backbone).tensors,
               random_head(head_of(options, model_.config), options.seed), options.precision,
               learner_options(options), &communicator),
      loader_(dataset, loader_options(options, communicator, model_.metadata), std::move(reader),
              queue),
      schedules_(options, loader_.steps_per_epoch() / options.accumulate) {
  require_picture_channels(backbone.path, model_.config);
  require_whole_patches("--global-size", options.crops.global, model_.config);
  if (options.crops.locals > 0) {
    require_whole_patches("--local-size", options.crops.local, model_.config);
  }
}

index_t Pretraining::images_of_a_part() const {
  return options_.batch / (communicator_.size() * options_.accumulate);
}

Pretraining::Part Pretraining::next_part() {
  const Batch batch = loader_.next();
  const index_t images = batch.size(), locals = options_.crops.locals;
  Part part{batch.indices, crops_of(batch.groups.front(), 0, 2, images), {}};
  if (locals > 0) {  // crops of one size are one group
    const index_t first = batch.groups.size() == 1 ? 2 : 0;
    part.local = crops_of(batch.groups.back(), first, locals, images);
  }
  return part;
}

DinoReport Pretraining::take_step(const std::function<Part(index_t part)>& part_of,
                                  const std::function<bool()>& stop) {
  const MoveCounts before(queue_, learner_);
  learner_.begin(schedules_.at(done_));
  for (index_t k = 0; k < options_.accumulate; ++k) {
    const Part part = part_of(k);
    learner_.add(static_cast<index_t>(part.images.size()), part.global, part.local, options_.batch,
                 part.images);
  }
  if (stop) queue_.synchronize();  // a wish that comes while the device computes is heard too
  const DinoReport report = learner_.finish(options_.batch, stop && stop());
  if (report.finite) {
    ++done_;
  } else {
    before.put_back(queue_, learner_);
  }
  return report;
}

DinoReport Pretraining::step(const std::function<bool()>& stop) {
  const DinoReport report = take_step([this](index_t) { return next_part(); }, stop);
  if (!report.finite) loader_.seek(done_ * options_.accumulate);
  return report;
}

Tensors Pretraining::inputs() {
  Tensors tensors;
  for (index_t k = 0; k < options_.accumulate; ++k) {
    const Part part = next_part();
    const auto images = static_cast<index_t>(part.images.size());
    tensors.emplace(part_name(k, "images"), numbers_tensor(part.images));
    tensors.emplace(part_name(k, "global"), download(queue_, part.global, images));
    if (part.local.crops > 0) {
      tensors.emplace(part_name(k, "local"), download(queue_, part.local, images));
    }
  }
  loader_.seek(done_ * options_.accumulate);
  return tensors;
}

DinoReport Pretraining::replay(const Tensors& inputs, const std::string& where) {
  const index_t images = images_of_a_part();
  DeviceMemory memory[2] = {DeviceMemory(queue_.backend()), DeviceMemory(queue_.backend())};
  const auto crops = [&](const std::string& name, index_t count, Extent size, DeviceMemory& to) {
    const engine::HostTensor& tensor =
        tensor_of(inputs, name, {count * images, 3, size.height, size.width}, where);
    const std::vector<float> values = tensor.to_floats();
    to.reserve(static_cast<index_t>(values.size()) * 4);
    queue_.upload(to.data(), values.data(), static_cast<index_t>(values.size()) * 4);
    queue_.synchronize();
    return CropBatch{count, size.height, size.width, reinterpret_cast<const float*>(to.data())};
  };
  const auto part_of = [&](index_t k) {
    const engine::HostTensor& numbers = tensor_of(inputs, part_name(k, "images"), {images}, where);
    if (numbers.type != engine::ElementType::i64) {
      throw Error(fmt::format("{}: tensor {}: no whole numbers", where, part_name(k, "images")));
    }
    Part part;
    part.images.resize(static_cast<std::size_t>(images));
    std::memcpy(part.images.data(), numbers.bytes.data(), numbers.bytes.size());
    part.global = crops(part_name(k, "global"), 2, options_.crops.global, memory[0]);
    if (options_.crops.locals > 0) {
      part.local =
          crops(part_name(k, "local"), options_.crops.locals, options_.crops.local, memory[1]);
    }
    return part;
  };
  const DinoReport report = take_step(part_of, {});
  loader_.seek(done_ * options_.accumulate);
  return report;
}

RunState Pretraining::state() const {
  RunState state;
  state.steps = done_;
  state.metadata["batch"] = std::to_string(options_.batch);
  collect(queue_, learner_, state.tensors);
  return state;
}

void Pretraining::restore(const RunState& state, const std::string& where) {
  const auto batch = state.metadata.find("batch");
  if (batch == state.metadata.end() || batch->second != std::to_string(options_.batch)) {
    throw Error(fmt::format("{}: a batch of {} images, {} wanted", where,
                            batch == state.metadata.end() ? "no" : batch->second, options_.batch));
  }
  if (state.steps > steps()) {
    throw Error(fmt::format("{}: {} steps done, at most {} wanted", where, state.steps, steps()));
  }
  train::restore(queue_, learner_, state.tensors, where);
  done_ = state.steps;
  loader_.seek(done_ * options_.accumulate);
}

model::Checkpoint Pretraining::teacher() const {
  model::Checkpoint result = model_;
  result.tensors = train::download(queue_, learner_.teacher().backbone.parameters());
  return result;
}

}  // namespace vitsnna::train
