// One pass over the set in its own order, each rank a share of it.
#include "train/evaluation/features.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "engine/ledger.h"
#include "model/forward.h"
#include "train/data/loader.h"

namespace vitsnna::train {
namespace {

/// Passes over batches of at most `batch` images, in memory planned once.
class FeaturePass {
 public:
  FeaturePass(engine::Queue& queue, const model::Vit& vit, engine::Extent size, index_t batch)
      : queue_(queue), vit_(vit), size_(size), arena_(engine::Arena::planning()) {
    engine::CountingLedger ledger(engine::CountingLedger::Mode::plan);
    {
      const engine::LedgerScope scope(queue_, &ledger);
      Rows none;
      run(nullptr, batch, none);
    }
    queue_.reserve_scratch(ledger.scratch_bytes());
    arena_ = engine::Arena(&queue_.backend(), arena_.peak());
  }

  index_t width() const { return vit_.config().head_blocks * vit_.config().embed_dim; }
  index_t classes() const { return vit_.config().num_classes; }

  /// Host memory; nothing is written while planning.
  struct Rows {
    std::vector<float> features;  ///< (images, width())
    std::vector<float> logits;    ///< (images, classes())
  };

  /// `pixels`: (images, 3, height, width) on the device, or null to plan.
  void run(const float* pixels, index_t images, Rows& rows) {
    const engine::ArenaScope scope(arena_);
    const model::PassContext context{vit_, queue_, arena_};
    const model::GridEmbedding grid = model::embed_grid(context, size_.height, size_.width);
    model::ForwardInput input;
    input.images.image = pixels;
    input.images.image_stride = vit_.config().channels * size_.area();
    input.images.height = size_.height;
    input.images.width = size_.width;
    const model::ForwardPass pass = model::forward(context, grid, input, images, {});
    if (pixels == nullptr) return;
    rows.features.resize(static_cast<std::size_t>(images * width()));
    rows.logits.resize(static_cast<std::size_t>(images * classes()));
    queue_.download(rows.features.data(), pass.features.data, images * width() * 4);
    if (classes() > 0)
      queue_.download(rows.logits.data(), pass.logits.data, images * classes() * 4);
    queue_.synchronize();
  }

 private:
  engine::Queue& queue_;
  const model::Vit& vit_;
  engine::Extent size_;
  engine::Arena arena_;
};

LoaderOptions loader_options(const FeatureOptions& options, const Communicator& communicator,
                             const model::Vit& vit) {
  const model::ModelMetadata& metadata = vit.metadata();
  LoaderOptions loader;
  loader.crops = {evaluation_recipe(options.size, options.crop_pct, vit.config().patch_size)};
  loader.batch = options.batch;
  loader.rank = communicator.rank();
  loader.ranks = communicator.size();
  loader.shuffle = false;
  loader.drop_last = false;
  loader.threads = options.decode_threads;
  // No scaled decoding: features are those of a picture that `predict` reads.
  loader.max_bad = options.max_bad;
  loader.report = options.report_bad;
  loader.format.mean = metadata.mean;
  loader.format.deviation = metadata.deviation;
  return loader;
}

/// Features, then logits.
using RowsByIndex = std::map<index_t, std::vector<float>>;

/// Adds the rows that all ranks have found.
void exchange(Communicator& communicator, index_t width, RowsByIndex& rows) {
  std::vector<std::byte> bytes;
  for (const auto& [index, row] : rows) {
    const auto* number = reinterpret_cast<const std::byte*>(&index);
    bytes.insert(bytes.end(), number, number + sizeof index);
    const auto* values = reinterpret_cast<const std::byte*>(row.data());
    bytes.insert(bytes.end(), values, values + 4 * row.size());
  }
  for (const std::vector<std::byte>& received : communicator.gather(bytes)) {
    const std::byte* at = received.data();
    while (at != received.data() + received.size()) {
      index_t index = 0;
      std::memcpy(&index, at, sizeof index);
      std::vector<float> row(static_cast<std::size_t>(width));
      std::memcpy(row.data(), at + sizeof index, 4 * row.size());
      at += sizeof index + 4 * row.size();
      rows.emplace(index, std::move(row));
    }
  }
}

}  // namespace

ImageFeatures cls_features(engine::Queue& queue, Communicator& communicator, const model::Vit& vit,
                           const Dataset& dataset, const ImageReader& reader,
                           const FeatureOptions& options) {
  const LoaderOptions how = loader_options(options, communicator, vit);
  FeaturePass pass(queue, vit, how.crops.front().size, options.batch);
  Loader loader(dataset, how, reader, queue);
  RowsByIndex
      rows;  // an unreadable image's place is taken by its neighbour, which then comes twice
  FeaturePass::Rows found;
  for (index_t step = 0; step < loader.steps_per_epoch(); ++step) {
    if (options.stop && any_rank(communicator, options.stop())) throw Stopped();
    const Batch batch = loader.next();
    if (batch.size() == 0) continue;
    pass.run(batch.groups.front().pixels.f32(), batch.size(), found);
    for (index_t k = 0; k < batch.size(); ++k) {
      const auto features = found.features.begin() + k * pass.width();
      const auto logits = found.logits.begin() + k * pass.classes();
      std::vector<float> row(features, features + pass.width());
      row.insert(row.end(), logits, logits + pass.classes());
      rows.emplace(batch.indices[static_cast<std::size_t>(k)], std::move(row));
    }
    if (options.progress) {
      options.progress(std::min((step + 1) * options.batch * communicator.size(), dataset.size()),
                       dataset.size());
    }
  }
  if (communicator.size() > 1) {
    exchange(communicator, pass.width() + pass.classes(), rows);
  }

  ImageFeatures result;
  result.items = static_cast<index_t>(rows.size());
  result.width = pass.width();
  result.classes = pass.classes();
  result.labels = dataset.label_count();
  for (const auto& [index, row] : rows) {
    result.indices.push_back(index);
    const auto logits = row.begin() + result.width;
    result.features.insert(result.features.end(), row.begin(), logits);
    result.logits.insert(result.logits.end(), logits, row.end());
    const float* targets = dataset.labels_of(index);
    result.targets.insert(result.targets.end(), targets, targets + result.labels);
  }
  return result;
}

}  // namespace vitsnna::train
