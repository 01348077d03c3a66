// Benchmarks of the ops that memory bounds: normalisation, GELU, patches, tokens, noise, pictures.
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

constexpr index_t width = 384, patch = 8, channels = 3;

void register_image_size(index_t height, index_t image_width) {
  const index_t grid_height = height / patch, grid_width = image_width / patch;
  const index_t patches = grid_height * grid_width, tokens = patches + 1;
  const index_t pixels = channels * height * image_width;
  std::string size = "/";
  size += std::to_string(tokens);

  register_op("layer_norm" + size, &Backend::layer_norm, Bound::memory, [=](Operands& operands) {
    LayerNorm args;
    args.rows = tokens;
    args.columns = width;
    args.input = operands.matrix(1, tokens, width, DType::f32);
    args.gain = operands.floats(width);
    args.shift = operands.floats(width);
    args.output = operands.matrix(1, tokens, width, DType::f32);
    return args;
  });
  register_op("layer_norm_backward" + size, &Backend::layer_norm_backward, Bound::memory,
              [=](Operands& operands) {
                LayerNormBackward args;
                args.rows = tokens;
                args.columns = width;
                args.input = operands.matrix(1, tokens, width, DType::f32);
                args.gain = operands.floats(width);
                args.output_gradient = operands.matrix(1, tokens, width, DType::f32, 1e-3f);
                args.input_gradient = operands.matrix(1, tokens, width, DType::f32);
                args.gain_gradient = operands.floats(width);
                args.shift_gradient = operands.floats(width);
                return args;
              });
  register_op("gelu" + size, &Backend::gelu, Bound::memory, [=](Operands& operands) {
    Gelu args;
    args.rows = tokens;
    args.columns = 4 * width;
    args.input = operands.matrix(1, tokens, 4 * width, DType::f32);
    args.output = operands.matrix(1, tokens, 4 * width, DType::f32);
    return args;
  });
  for (const bool noisy : {false, true}) {
    register_op((noisy ? "patchify_noise" : "patchify") + size, &Backend::patchify, Bound::memory,
                [=](Operands& operands) {
                  Patchify args;
                  args.height = height;
                  args.width = image_width;
                  args.patch_size = patch;
                  args.grid_height = grid_height;
                  args.grid_width = grid_width;
                  args.image = operands.floats(pixels);
                  args.gaussian.sigma = noisy ? .5f : 0.f;
                  args.patches = operands.matrix(1, patches, channels * patch * patch, DType::f32);
                  return args;
                });
  }
  register_op("unpatchify_gradient" + size, &Backend::unpatchify_gradient, Bound::memory,
              [=](Operands& operands) {
                UnpatchifyGradient args;
                args.height = height;
                args.width = image_width;
                args.patch_size = patch;
                args.grid_height = grid_height;
                args.grid_width = grid_width;
                args.patches_gradient =
                    operands.matrix(1, patches, channels * patch * patch, DType::f32);
                args.image_gradient = operands.floats(pixels);
                return args;
              });
  register_op("fill_gaussian" + size, &Backend::fill_gaussian, Bound::memory,
              [=](Operands& operands) {
                FillGaussian args;
                args.noise.sigma = 1.f;
                args.elements = pixels;
                args.output = operands.floats(pixels);
                return args;
              });
  register_op("resample_position_embedding" + size, &Backend::resample_position_embedding,
              Bound::memory, [=](Operands& operands) {
                ResamplePositionEmbedding args;
                args.embed_dim = width;
                args.source_height = args.source_width = 28;
                args.grid_height = grid_height;
                args.grid_width = grid_width;
                args.source = operands.floats((1 + 28 * 28) * width);
                args.output = operands.floats(tokens * width);
                return args;
              });
  register_op("resample_position_embedding_backward" + size,
              &Backend::resample_position_embedding_backward, Bound::memory,
              [=](Operands& operands) {
                ResamplePositionEmbeddingBackward args;
                args.embed_dim = width;
                args.source_height = args.source_width = 28;
                args.grid_height = grid_height;
                args.grid_width = grid_width;
                args.output_gradient = operands.floats(tokens * width, 1e-3f);
                args.source_gradient = operands.floats((1 + 28 * 28) * width);
                return args;
              });
  register_op("assemble_tokens" + size, &Backend::assemble_tokens, Bound::memory,
              [=](Operands& operands) {
                AssembleTokens args;
                args.num_patches = patches;
                args.embed_dim = width;
                args.tokens = operands.floats(tokens * width, 0.f);
                args.cls_token = operands.floats(width);
                args.position = operands.floats(tokens * width, 0.f);
                return args;
              });
  register_op("assemble_tokens_backward" + size, &Backend::assemble_tokens_backward, Bound::memory,
              [=](Operands& operands) {
                AssembleTokensBackward args;
                args.num_patches = patches;
                args.embed_dim = width;
                args.tokens_gradient = operands.floats(tokens * width, 1e-3f);
                args.cls_gradient = operands.floats(width);
                args.position_gradient = operands.floats(tokens * width);
                return args;
              });
  register_op("copy_rows" + size, &Backend::copy_rows, Bound::memory, [=](Operands& operands) {
    CopyRows args;
    args.rows = tokens;
    args.columns = width;
    args.source = operands.matrix(1, tokens, width, DType::f32);
    args.destination = operands.matrix(1, tokens, width, DType::f32);
    return args;
  });
  register_op("resample_normalize" + size, &Backend::resample_normalize, Bound::memory,
              [=](Operands& operands) {
                ResampleNormalize args;
                args.source_height = 720;
                args.source_width = 1280;
                args.source = operands.bytes(720 * 1280 * 3);
                args.resized_height = args.crop_height = height;
                args.resized_width = args.crop_width = image_width;
                args.output = operands.floats(pixels);
                return args;
              });
  register_op("render_overlay" + size, &Backend::render_overlay, Bound::memory,
              [=](Operands& operands) {
                RenderOverlay args;
                args.grid_height = grid_height;
                args.grid_width = grid_width;
                args.map = operands.floats(patches);
                args.height = height;
                args.width = image_width;
                args.image = operands.bytes(height * image_width * 3);
                args.colormap = operands.bytes(256 * 3);
                args.output = operands.bytes(height * image_width * 3);
                return args;
              });
}

}  // namespace

void register_elementwise() {
  register_image_size(224, 224);
  register_image_size(360, 640);
}

}  // namespace vitsnna::bench
