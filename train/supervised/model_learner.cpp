// Forward, loss, backward over a batch of images.
#include "train/supervised/model_learner.h"

#include <fmt/format.h>

#include "engine/ledger.h"
#include "kernels/error.h"
#include "model/backward.h"
#include "train/augment/mirrored_labels.h"
#include "train/supervised/rules.h"

namespace vitsnna::train {
namespace {

LoaderOptions loader_options(const FinetuneOptions& options, const Communicator& communicator,
                             const model::ModelMetadata& metadata) {
  const index_t ranks = communicator.size();
  if (options.batch < 1 || options.batch % ranks != 0) {
    throw Error(fmt::format("--batch: {} images over {} ranks, a multiple of them wanted",
                            options.batch, ranks));
  }
  LoaderOptions loader;
  loader.crops = {supervised_recipe(options.size, options.flip)};
  loader.batch = options.batch / ranks;
  loader.rank = communicator.rank();
  loader.ranks = communicator.size();
  loader.seed = options.seed;
  loader.threads = options.decode_threads;
  loader.max_bad = options.max_bad;
  loader.cache = options.cache;
  loader.cache_folder = options.cache_folder;
  loader.format.mean = metadata.mean;
  loader.format.deviation = metadata.deviation;
  loader.report = options.report_bad;
  return loader;
}

}  // namespace

ModelLearner::ModelLearner(engine::Queue& queue, Communicator& communicator,
                           const model::VitConfig& config, const model::ModelMetadata& metadata,
                           const Tensors& tensors, const Dataset& train, const Dataset& validation,
                           const ImageReader& reader, const FinetuneOptions& options)
    : queue_(queue),
      communicator_(communicator),
      options_(options),
      validation_(validation),
      reader_(reader),
      vit_(queue, config, metadata, tensors, options.precision),
      loader_(train, loader_options(options, communicator, metadata), reader, queue),
      bce_(queue, communicator, vit_.parameters(),
           layer_wise_rules(config.depth, options.layer_decay), options, config.num_classes),
      arena_(engine::Arena::planning()) {
  require_mirrored_labels(train.label_names, options.flip);
  plan(options.batch / communicator.size());
}

void ModelLearner::plan(index_t items) {
  engine::CountingLedger ledger(engine::CountingLedger::Mode::plan);
  {
    const engine::LedgerScope scope(queue_, &ledger);
    run(nullptr, items);
  }
  queue_.reserve_scratch(ledger.scratch_bytes());
  arena_ = engine::Arena(&queue_.backend(), arena_.peak());
}

void ModelLearner::run(const float* pixels, index_t items) {
  const engine::ArenaScope scope(arena_);
  const model::PassContext context{vit_, queue_, arena_};
  const model::GridEmbedding grid =
      model::embed_grid(context, options_.size.height, options_.size.width);
  model::ForwardInput input;
  input.images.image = pixels;
  input.images.image_stride = vit_.config().channels * options_.size.area();
  input.images.height = options_.size.height;
  input.images.width = options_.size.width;
  const model::ForwardPass pass = model::forward(
      context, grid, input, items, {.record = true, .patches = true, .pre_activations = true});
  model::BackwardRequest request;
  request.logit_gradient = arena_.allocate(kernels::DType::f32, {items, vit_.config().num_classes});
  bce_.loss(pass.logits.f32(), items, options_.batch, request.logit_gradient.f32());
  request.depth = model::BackwardRequest::Depth::parameters;
  request.parameter_gradients = &bce_.optimizer().gradients();
  request.gradients_final = [&](index_t block) {
    bce_.reducer().start_block(bce_.optimizer().gradients(), block);
  };
  model::backward(context, pass, request);
}

SupervisedReport ModelLearner::step(const SupervisedStep& settings) {
  const Batch batch = loader_.next();
  const float* const pixels = batch.groups.front().pixels.f32();
  bce_.begin(settings, batch.labels);
  bce_.reducer().arm();
  const auto record = [&] {
    run(pixels, batch.size());
    bce_.measure();
  };
  graphs_.run(queue_, {pixels, bce_.targets(), batch.size(), queue_.raw().scratch}, record,
              queue_.raw().ledger == nullptr && bce_.reducer().repeatable());
  const SupervisedReport report = bce_.finish();
  if (report.finite) refresh();
  return report;
}

SupervisedLearner::Answers ModelLearner::validate() {
  ImageFeatures found =
      cls_features(queue_, communicator_, vit_, validation_, reader_, feature_options(options_));
  return {found.items, std::move(found.logits), std::move(found.targets)};
}

StateEntries ModelLearner::state() const {
  StateEntries entries;
  add_block(entries, "", vit_.parameters());
  add_optimizer(entries, "", bce_.optimizer());
  return entries;
}

}  // namespace vitsnna::train
