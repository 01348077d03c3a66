// Benchmarks of the ops that training alone needs.
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

/// DINO's heaviest chain on a batch of crops: jitter in four steps, blur, flip, solarisation.
void register_augment(Target& target, index_t crops, index_t height, index_t width) {
  const index_t rows = target.sizes.photograph[0], columns = target.sizes.photograph[1];
  register_op(target, joined({"augment", size_name(DType::f32, crops, height * width)}),
              &Backend::augment, Bound::memory, [=](Operands& operands) {
                AugmentCrop crop;
                crop.image_width = static_cast<std::int32_t>(columns);
                crop.height = static_cast<std::int32_t>(rows);
                crop.width = static_cast<std::int32_t>(columns);
                crop.resized_height = static_cast<std::int32_t>(height);
                crop.resized_width = static_cast<std::int32_t>(width);
                crop.color[0] = {ColorKind::brightness, 1.2f, 0};
                crop.color[1] = {ColorKind::contrast, .8f, 0};
                crop.color[2] = {ColorKind::saturation, 1.1f, 0};
                crop.color[3] = hue_step(.05);
                crop.blur = box_blur(1.f);
                crop.solarize = 128;
                crop.flip = true;
                Augment args;
                args.crops = crops;
                args.height = height;
                args.width = width;
                args.crop = operands.device(
                    std::vector<AugmentCrop>(static_cast<std::size_t>(crops), crop));
                args.images = operands.bytes(rows * columns * 3);
                args.most_rows = rows;
                args.most_columns = columns;
                args.output = operands.matrix(crops, 3, height * width, DType::f32);
                return args;
              });
}

/// The losses, at all ten crops of the images of a step.
void register_losses(Target& target) {
  const index_t images = target.sizes.training_images, out_dim = target.sizes.out_dim;
  const std::pair<DType, DType> types[] = {{DType::f32, DType::f32},
                                           {DType::bf16, DType::bf16},
                                           {DType::bf16, DType::f32},
                                           {DType::f32, DType::bf16}};
  for (const auto& [dtype, teacher] : types) {
    const std::string mixed =
        teacher == dtype ? "" : std::string("teacher_") + kernels::name_of(teacher);
    register_op(target, joined({"dino_loss", size_name(dtype, images, out_dim), mixed}),
                &Backend::dino_loss, Bound::memory,
                [=, teacher = teacher, dtype = dtype](Operands& operands) {
                  DinoLoss args;
                  args.items = args.global_items = images;
                  args.student_crops = 10;
                  args.out_dim = out_dim;
                  args.student = operands.matrix(args.student_crops, images, out_dim, dtype);
                  args.teacher = operands.matrix(2, images, out_dim, teacher);
                  args.centre = operands.floats(out_dim);
                  args.teacher_temperature = operands.device(std::vector<float>{.04f});
                  args.student_gradient =
                      operands.matrix(args.student_crops, images, out_dim, dtype);
                  args.teacher_sum = operands.floats(out_dim);
                  args.monitors = operands.floats(2);
                  return args;
                });
  }
  register_op(target, joined({"update_centre", std::to_string(out_dim)}), &Backend::update_centre,
              Bound::memory, [=](Operands& operands) {
                UpdateCentre args;
                args.out_dim = out_dim;
                args.rows = 2 * images;
                args.sum = operands.floats(out_dim);
                args.centre = operands.floats(out_dim);
                return args;
              });
  constexpr index_t classes = 4;
  register_op(target, joined({"bce_with_logits", std::to_string(images)}),
              &Backend::bce_with_logits, Bound::memory, [=](Operands& operands) {
                BceWithLogits args;
                args.items = args.global_items = images;
                args.classes = classes;
                args.logits = operands.floats(images * classes);
                args.targets = operands.floats(images * classes, 0.f);
                args.gradient = operands.floats(images * classes);
                args.loss = operands.floats(1);
                return args;
              });
}

/// The last layer's weight normalisation.
void register_normalisation(Target& target) {
  const index_t rows = target.sizes.out_dim, columns = target.sizes.bottleneck;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    register_op(target, joined({"normalize_rows", size_name(dtype, rows, columns)}),
                &Backend::normalize_rows, Bound::memory, [=](Operands& operands) {
                  NormalizeRows args;
                  args.rows = rows;
                  args.columns = columns;
                  args.input = operands.floats(rows * columns);
                  args.output = operands.matrix(1, rows, columns, dtype);
                  return args;
                });
  }
  register_op(target, joined({"normalize_rows_backward", size_name(DType::f32, rows, columns)}),
              &Backend::normalize_rows_backward, Bound::memory, [=](Operands& operands) {
                NormalizeRowsBackward args;
                args.rows = rows;
                args.columns = columns;
                args.input = operands.floats(rows * columns);
                args.output_gradient = operands.floats(rows * columns);
                args.input_gradient = operands.floats(rows * columns);
                return args;
              });
}

/// Weights and biases of an MLP's size, in turn, as many as the parameters fill.
ParameterBlock parameter_block(Operands& operands, index_t parameters, index_t width) {
  std::vector<ParameterSegment> table;
  ParameterBlock block;
  while (block.elements < parameters) {
    ParameterSegment segment;
    segment.offset = block.elements;
    segment.count = table.size() % 2 == 0 ? 4 * width * width : 4 * width;
    block.elements += segment.count;
    table.push_back(segment);
  }
  block.segments = static_cast<index_t>(table.size());
  block.table = operands.device(table);
  return block;
}

const StepSettings* step_settings(Operands& operands) {
  StepSettings settings;
  settings.learning_rate = 1e-6f;
  settings.average_momentum = .996f;
  return operands.device(std::vector<StepSettings>{settings});
}

/// Steps over all tensors of a model.
void register_optimizer(Target& target) {
  const index_t parameters = target.sizes.parameters, width = target.sizes.width();
  const auto add = [&](const char* op, const auto& entry, const auto& make) {
    register_op(target, joined({op, std::to_string(parameters)}), entry, Bound::memory, make);
  };
  add("gradient_norms", &Backend::gradient_norms, [=](Operands& operands) {
    GradientNorms args;
    args.block = parameter_block(operands, parameters, width);
    args.gradients = operands.floats(args.block.elements);
    args.settings = step_settings(operands);
    args.norms = operands.floats(args.block.segments);
    args.steps = operands.floats(args.block.segments, 0.f);
    args.non_finite = operands.floats(1, 0.f);
    return args;
  });
  add("adamw", &Backend::adamw, [=](Operands& operands) {
    AdamW args;
    args.block = parameter_block(operands, parameters, width);
    args.settings = step_settings(operands);
    args.norms = operands.floats(args.block.segments);
    const std::vector<float> moved(static_cast<std::size_t>(args.block.segments), 1000.f);
    args.steps = operands.device(moved);
    args.gradients = operands.floats(args.block.elements);
    args.parameters = operands.floats(args.block.elements);
    args.first_moment = operands.floats(args.block.elements, 0.f);
    args.second_moment = operands.floats(args.block.elements, 0.f);
    args.clip = 3.f;
    return args;
  });
  add("sgd", &Backend::sgd, [=](Operands& operands) {
    Sgd args;
    args.block = parameter_block(operands, parameters, width);
    args.settings = step_settings(operands);
    args.norms = operands.floats(args.block.segments);
    args.gradients = operands.floats(args.block.elements);
    args.parameters = operands.floats(args.block.elements);
    args.velocity = operands.floats(args.block.elements);
    return args;
  });
  add("exponential_average", &Backend::exponential_average, [=](Operands& operands) {
    ExponentialAverage args;
    args.elements = parameters;
    args.settings = step_settings(operands);
    args.values = operands.floats(parameters);
    args.average = operands.floats(parameters);
    return args;
  });
}

}  // namespace

void register_training(Target& target) {
  for (const auto& [height, width] : target.sizes.pictures) {
    register_augment(target, 8, height, width);
  }
  register_losses(target);
  register_normalisation(target);
  register_optimizer(target);
}

}  // namespace vitsnna::bench
