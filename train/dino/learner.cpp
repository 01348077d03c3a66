// One step: teacher forward, student forward, loss, student backward; then the update.
#include "train/dino/learner.h"

#include <cmath>
#include <vector>

#include "engine/graph_cache.h"
#include "engine/host_memory.h"
#include "engine/ledger.h"
#include "kernels/error.h"
#include "model/backward.h"
#include "train/data/staging.h"

namespace vitsnna::train {

/// What shapes the memory of a part.
struct DinoLearner::Shape {
  index_t images = 0, batch_images = 0;
  index_t global_height = 0, global_width = 0;
  index_t local_crops = 0, local_height = 0, local_width = 0;
  bool operator==(const Shape&) const = default;
};

/// What a captured part, or the update behind it, was captured with.
struct DinoLearner::Captured {
  enum class Work : std::uint8_t { part, last_part, update };
  Work work = Work::part;
  Shape shape;
  const float *global = nullptr, *local = nullptr;
  const void* scratch = nullptr;
  bool operator==(const Captured&) const = default;
};

/// Device memory that is neither parameters nor activations, and the graphs that use all of it.
struct DinoLearner::Buffers {
  Buffers(engine::Queue& queue, index_t out_dim)
      : backend(&queue.backend()), columns(out_dim), branch_factors(queue.backend()) {
    memory = static_cast<float*>(backend->allocate(bytes()));
    queue.zero(memory, bytes());
    queue.synchronize();
  }
  ~Buffers() { backend->deallocate(memory, bytes()); }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  static constexpr index_t kHeader = 64;  ///< floats: settings, monitors, flag
  index_t bytes() const { return (kHeader + 2 * columns) * 4; }
  auto* settings() const { return reinterpret_cast<kernels::StepSettings*>(memory); }
  float* monitors() const { return memory + 32; }
  float* non_finite() const { return memory + 48; }
  float* centre() const { return memory + kHeader; }
  float* teacher_sum() const { return memory + kHeader + columns; }

  const kernels::Backend* backend;
  index_t columns;
  float* memory = nullptr;
  DeviceMemory branch_factors;
  Shape shape;  ///< that `arena` was planned for
  std::unique_ptr<engine::Arena> arena;
  engine::GraphCache<Captured> graphs;
};

namespace {

TensorRule head_rule(const model::ParameterTable::Entry& entry, bool norm_last_layer) {
  TensorRule rule = default_rule(entry);
  rule.freezable = entry.name.starts_with("last_layer.");
  rule.always_frozen = norm_last_layer && entry.name == "last_layer.weight_g";
  return rule;
}

model::ImageGroup image_group(const model::PassContext& pass, const CropBatch& crops,
                              index_t images) {
  model::ImageGroup group;
  group.grid = model::embed_grid(pass, crops.height, crops.width);
  group.items = crops.crops * images;
  group.input.images.image = crops.pixels;
  group.input.images.image_stride = pass.vit.config().channels * crops.height * crops.width;
  group.input.images.height = crops.height;
  group.input.images.width = crops.width;
  return group;
}

/// The last block's CLS features as rows.
Tensor feature_rows(const model::ForwardPass& pass) {
  Tensor rows = pass.features;
  rows.shape = {pass.features.shape[0], pass.features.shape[2]};
  return rows;
}

double norm_of(engine::Queue& queue, const float* values, index_t count) {
  std::vector<float> host(static_cast<std::size_t>(count));
  queue.download(host.data(), values, count * 4);
  queue.synchronize();
  double sum = 0;
  for (const float value : host) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

void average(engine::Queue& queue, const model::Parameters& values,
             const model::Parameters& average, const kernels::StepSettings* settings) {
  kernels::ExponentialAverage args;
  args.elements = values.table().block_elements();
  args.settings = settings;
  args.values = values.data();
  args.average = average.data();
  queue.backend().exponential_average(queue.raw(), args);
}

const DinoOptions& checked(const DinoOptions& options) {
  check(options.drop_path);
  return options;
}

}  // namespace

DinoLearner::DinoLearner(engine::Queue& queue, const model::VitConfig& config,
                         const model::ModelMetadata& metadata, const DinoHeadConfig& head_config,
                         const std::map<std::string, engine::HostTensor>& backbone_tensors,
                         const std::map<std::string, engine::HostTensor>& head_tensors,
                         DType precision, const DinoOptions& options, Communicator* communicator)
    : queue_(queue),
      options_(checked(options)),
      alone_(communicator ? nullptr : single_process()),
      communicator_(communicator ? *communicator : *alone_),
      reducer_(communicator_, queue),
      student_(queue, config, metadata, head_config, backbone_tensors, head_tensors, precision),
      teacher_(queue, config, metadata, head_config, backbone_tensors, head_tensors, precision,
               {.backward = false}),
      backbone_state_(queue, student_.backbone.parameters().table(), default_rule),
      head_state_(queue, student_.head.parameters().table(),
                  [&](const model::ParameterTable::Entry& entry) {
                    return head_rule(entry, head_config.norm_last_layer);
                  }),
      buffers_(std::make_unique<Buffers>(queue, head_config.out_dim)) {}

DinoLearner::~DinoLearner() = default;

float* DinoLearner::centre() const { return buffers_->centre(); }

void DinoLearner::refresh() {
  student_.refresh(queue_);
  teacher_.refresh(queue_);
}

/// Images of a batch that this rank adds.
index_t DinoLearner::share_of(index_t batch_images) const {
  const int ranks = communicator_.size();
  if (batch_images % ranks != 0) {
    throw Error("DINO: a batch of " + std::to_string(batch_images) + " images over " +
                std::to_string(ranks) + " ranks, a multiple of them wanted");
  }
  return batch_images / ranks;
}

void DinoLearner::begin(const DinoStep& step) {
  added_ = 0;
  step_ = step.number;
  kernels::StepSettings settings;
  settings.learning_rate = static_cast<float>(step.learning_rate);
  settings.weight_decay = static_cast<float>(step.weight_decay);
  settings.average_momentum = static_cast<float>(step.teacher_momentum);
  settings.frozen = step.freeze_last_layer ? 1.f : 0.f;
  settings.teacher_temperature = static_cast<float>(step.teacher_temperature);
  queue_.upload(buffers_->settings(), &settings, static_cast<index_t>(sizeof settings));
  queue_.synchronize();
  queue_.zero(buffers_->monitors(), 2 * 4);
  queue_.zero(buffers_->non_finite(), 4);
  backbone_state_.clear_gradients(queue_);
  head_state_.clear_gradients(queue_);
}

void DinoLearner::add(index_t images, const CropBatch& global, const CropBatch& local,
                      index_t batch_images, std::span<const index_t> numbers) {
  if (images < 1 || batch_images < images || global.crops != 2 || local.crops < 0) {
    throw Error("DINO: a part of " + std::to_string(images) + " images of " +
                std::to_string(batch_images) + " with " + std::to_string(global.crops) +
                " global and " + std::to_string(local.crops) +
                " local crops; two global ones are wanted");
  }
  const Shape shape{images,      batch_images, global.height, global.width,
                    local.crops, local.height, local.width};
  if (!buffers_->arena || shape != buffers_->shape) plan(shape, global, local);
  if (options_.drop_path.rate > 0.) upload_branch_factors(shape, numbers);
  added_ += images;
  const bool last = added_ == share_of(batch_images);
  reducer_.arm(last);
  Captured captured{last ? Captured::Work::last_part : Captured::Work::part, shape, global.pixels,
                    local.pixels, queue_.raw().scratch};
  const auto record = [&] {
    run(shape, *buffers_->arena, global, local);
    if (last) measure();
  };
  buffers_->graphs.run(queue_, captured, record, repeatable());
}

/// Ops that a ledger wants to see are launched one by one.
bool DinoLearner::repeatable() const {
  return queue_.raw().ledger == nullptr && reducer_.repeatable();
}

void DinoLearner::upload_branch_factors(const Shape& shape, std::span<const index_t> numbers) {
  if (static_cast<index_t>(numbers.size()) != shape.images) {
    throw Error("DINO: " + std::to_string(numbers.size()) + " numbers of a part's " +
                std::to_string(shape.images) + " images, one each wanted by drop path");
  }
  queue_.synchronize();  // earlier factors have been copied
  branch_factors_ = branch_factors(options_.drop_path, step_, student_.backbone.config().depth,
                                   2 + shape.local_crops, numbers);
  queue_.upload(buffers_->branch_factors.data(), branch_factors_.data(),
                static_cast<index_t>(branch_factors_.size()) * 4);
}

void DinoLearner::plan(const Shape& shape, const CropBatch& global, const CropBatch& local) {
  buffers_->graphs.clear();
  buffers_->arena.reset();
  if (options_.drop_path.rate > 0.) {
    buffers_->branch_factors.reserve(student_.backbone.config().depth * 2 *
                                     (2 + shape.local_crops) * shape.images * 4);
  }
  engine::CountingLedger ledger(engine::CountingLedger::Mode::plan);
  engine::Arena planned = engine::Arena::planning();
  {
    const engine::LedgerScope scope(queue_, &ledger);
    run(shape, planned, global, local);
  }
  engine::return_freed_memory();  // the tensors that the networks were made from
  queue_.reserve_scratch(ledger.scratch_bytes());
  buffers_->arena = std::make_unique<engine::Arena>(&queue_.backend(), planned.peak());
  buffers_->shape = shape;
}

void DinoLearner::run(const Shape& shape, engine::Arena& arena, const CropBatch& global,
                      const CropBatch& local) {
  const engine::ArenaScope scope(arena);
  const index_t out_dim = student_.head.config().out_dim;
  const index_t student_crops = 2 + shape.local_crops;
  const Tensor teacher_logits = arena.allocate(DType::f32, {2 * shape.images, out_dim});
  {
    const engine::ArenaScope teacher_scope(arena);
    const model::PassContext pass{teacher_.backbone, queue_, arena};
    const model::ImageGroup group = image_group(pass, global, shape.images);
    const model::ForwardPass forward = model::forward(pass, std::span(&group, 1), {});
    teacher_.head.forward(queue_, arena, feature_rows(forward), teacher_logits);
  }

  const model::PassContext pass{student_.backbone, queue_, arena};
  std::vector<model::ImageGroup> groups{image_group(pass, global, shape.images)};
  if (shape.local_crops > 0) groups.push_back(image_group(pass, local, shape.images));
  model::BranchFactors factors;
  if (options_.drop_path.rate > 0.) {
    factors.factors = reinterpret_cast<const float*>(buffers_->branch_factors.data());
  }
  const model::ForwardPass forward = model::forward(
      pass, groups, {.record = true, .patches = true, .pre_activations = true}, factors);
  const DinoHeadPass head = student_.head.forward(queue_, arena, feature_rows(forward));

  kernels::DinoLoss loss;
  loss.items = shape.images;
  loss.global_items = shape.batch_images;
  loss.student_crops = student_crops;
  loss.out_dim = out_dim;
  loss.student = {head.logits.data, DType::f32, shape.images * out_dim, out_dim};
  loss.teacher = {teacher_logits.data, DType::f32, shape.images * out_dim, out_dim};
  loss.centre = buffers_->centre();
  loss.student_temperature = options_.student_temperature;
  loss.teacher_temperature = &buffers_->settings()->teacher_temperature;
  loss.student_gradient = {head.logits.data, DType::f32, shape.images * out_dim, out_dim};
  loss.teacher_sum = buffers_->teacher_sum();
  loss.monitors = buffers_->monitors();
  queue_.backend().dino_loss(queue_.raw(), loss);
  reducer_.start(buffers_->teacher_sum(), out_dim);

  model::BackwardRequest request;
  request.depth = model::BackwardRequest::Depth::parameters;
  request.parameter_gradients = &backbone_state_.gradients();
  request.feature_gradient =
      student_.head.backward(queue_, arena, head, head.logits, head_state_.gradients());
  reducer_.start(head_state_.gradients());
  request.gradients_final = [&](index_t block) {
    reducer_.start_block(backbone_state_.gradients(), block);
  };
  request.feature_gradient.shape = {student_crops * shape.images, 1,
                                    student_.backbone.config().embed_dim};
  model::backward(pass, forward, request);
}

/// What ends the gradients: sums over the ranks, norms, whether they are finite.
void DinoLearner::measure() {
  reducer_.finish();
  const kernels::StepSettings* settings = buffers_->settings();
  backbone_state_.measure(queue_, settings, buffers_->non_finite());
  head_state_.measure(queue_, settings, buffers_->non_finite());
}

DinoReport DinoLearner::finish(index_t batch_images, bool stop) {
  if (added_ != share_of(batch_images)) {
    throw Error("DINO: " + std::to_string(added_) + " images of this rank's " +
                std::to_string(share_of(batch_images)) + " were added");
  }
  float monitors[2] = {}, non_finite = 0.f;
  queue_.download(monitors, buffers_->monitors(), static_cast<index_t>(sizeof monitors));
  queue_.download(&non_finite, buffers_->non_finite(), 4);
  queue_.synchronize();
  DinoReport report;
  const double own[3] = {static_cast<double>(monitors[0]), static_cast<double>(monitors[1]),
                         stop ? 1. : 0.};
  const auto of_ranks = gather_numbers(communicator_, own);
  for (std::size_t rank = 0; rank < of_ranks.size(); ++rank) {
    report.loss += of_ranks[rank][0];
    report.teacher_entropy += of_ranks[rank][1];
    report.stop = report.stop || of_ranks[rank][2] > 0.;
    if (report.non_finite_rank < 0 && !std::isfinite(of_ranks[rank][0])) {
      report.non_finite_rank = static_cast<int>(rank);
    }
  }
  report.divergence = report.loss - report.teacher_entropy;
  report.finite = non_finite == 0.f && std::isfinite(report.loss);
  if (report.finite) {
    Captured captured;
    captured.work = Captured::Work::update;
    captured.shape.batch_images = batch_images;
    captured.scratch = queue_.raw().scratch;
    buffers_->graphs.run(
        queue_, captured, [&] { move(batch_images); }, repeatable());
  }
  report.gradient_norm =
      std::hypot(norm_of(queue_, backbone_state_.norms(), backbone_state_.segments()),
                 norm_of(queue_, head_state_.norms(), head_state_.segments()));
  report.centre_norm = norm_of(queue_, buffers_->centre(), student_.head.config().out_dim);
  return report;
}

void DinoLearner::move(index_t batch_images) {
  const kernels::StepSettings* settings = buffers_->settings();
  backbone_state_.adamw(queue_, student_.backbone.parameters(), settings, options_.clip);
  head_state_.adamw(queue_, student_.head.parameters(), settings, options_.clip);
  average(queue_, student_.backbone.parameters(), teacher_.backbone.parameters(), settings);
  average(queue_, student_.head.parameters(), teacher_.head.parameters(), settings);
  kernels::UpdateCentre centre;
  centre.out_dim = student_.head.config().out_dim;
  centre.rows = 2 * batch_images;
  centre.momentum = options_.centre_momentum;
  centre.sum = buffers_->teacher_sum();
  centre.centre = buffers_->centre();
  queue_.backend().update_centre(queue_.raw(), centre);
  refresh();
}

}  // namespace vitsnna::train
