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

}  // namespace

void register_training(Target& target) {
  for (const auto& [height, width] : target.sizes.pictures) {
    register_augment(target, 8, height, width);
  }
}

}  // namespace vitsnna::bench
