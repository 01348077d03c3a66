// Divides a batch among ranks and parts, and hands each part's crops to the learner.
#include "train/dino/pretraining.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "kernels/error.h"

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

engine::HostTensor download(engine::Queue& queue, const engine::Tensor& tensor) {
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
  std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
  queue.download(values.data(), tensor.data, tensor.bytes());
  queue.synchronize();
  return engine::HostTensor::from_floats(shape, values);
}

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
      options_(options),
      model_(without_tensors(without_head(backbone))),
      learner_(queue, model_.config, model_.metadata, head_of(options, model_.config),
               without_head(backbone).tensors,
               random_head(head_of(options, model_.config), options.seed), options.precision,
               learner_options(options), &communicator),
      loader_(dataset, loader_options(options, communicator, model_.metadata), std::move(reader),
              queue),
      schedules_(options, loader_.steps_per_epoch() / options.accumulate) {
  for (const Extent size : {options.crops.global, options.crops.local}) {
    const index_t patch = model_.config.patch_size;
    if (size.height % patch != 0 || size.width % patch != 0) {
      throw Error(fmt::format("crops of {}x{}: multiples of the patch size {} wanted", size.height,
                              size.width, patch));
    }
  }
}

DinoReport Pretraining::step(bool stop) {
  learner_.begin(schedules_.at(done_));
  for (index_t part = 0; part < options_.accumulate; ++part) {
    const Batch batch = loader_.next();
    const index_t images = batch.size(), locals = options_.crops.locals;
    const CropBatch global = crops_of(batch.groups.front(), 0, 2, images);
    CropBatch local;
    if (locals > 0) {  // crops of one size are one group
      const index_t first = batch.groups.size() == 1 ? 2 : 0;
      local = crops_of(batch.groups.back(), first, locals, images);
    }
    learner_.add(images, global, local, options_.batch, batch.indices);
    last_groups_ = batch.groups;
  }
  const DinoReport report = learner_.finish(options_.batch, stop);
  if (report.finite) ++done_;
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

Tensors Pretraining::last_inputs() const {
  Tensors tensors;
  for (std::size_t k = 0; k < last_groups_.size(); ++k) {
    tensors.emplace(k == 0 ? "global" : "local", download(queue_, last_groups_[k].pixels));
  }
  return tensors;
}

}  // namespace vitsnna::train
