// Benchmarks of the ops that memory bounds: normalisation, GELU, patches, tokens, noise, pictures.
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

constexpr index_t patch = 8, channels = 3, trained_side = 28;

/// A picture's extents, in pixels and in patches.
struct Picture {
  index_t height, width;
  index_t grid_height = height / patch, grid_width = width / patch;
  index_t patches = grid_height * grid_width, tokens = patches + 1;
  index_t pixels = channels * height * width;
};

/// Ops of a pass over `items` images, in the type that a precision stores.
void register_pass(Target& target, DType dtype, index_t items, const Picture& picture) {
  const index_t width = target.sizes.width();
  const std::string size = size_name(dtype, items, picture.tokens);
  const auto add = [&](const char* op, const auto& entry, const auto& make) {
    register_op(target, joined({op, size}), entry, Bound::memory, make);
  };
  add("layer_norm", &Backend::layer_norm, [=](Operands& operands) {
    LayerNorm args;
    args.items = items;
    args.rows = picture.tokens;
    args.columns = width;
    args.input = operands.matrix(items, picture.tokens, width, DType::f32);
    args.gain = operands.floats(width);
    args.shift = operands.floats(width);
    args.output = operands.matrix(items, picture.tokens, width, dtype);
    return args;
  });
  for (const bool parameters : {false, true}) {
    add(parameters ? "layer_norm_backward_parameters" : "layer_norm_backward",
        &Backend::layer_norm_backward, [=](Operands& operands) {
          LayerNormBackward args;
          args.items = args.input_items = items;
          args.rows = picture.tokens;
          args.columns = width;
          args.input = operands.matrix(items, picture.tokens, width, DType::f32);
          args.gain = operands.floats(width);
          args.output_gradient = operands.matrix(items, picture.tokens, width, dtype, 1e-3f);
          args.input_gradient = operands.matrix(items, picture.tokens, width, DType::f32);
          if (parameters) {
            args.gain_gradient = operands.floats(width);
            args.shift_gradient = operands.floats(width);
          }
          return args;
        });
  }
  add("gelu", &Backend::gelu, [=](Operands& operands) {
    Gelu args;
    args.items = items;
    args.rows = picture.tokens;
    args.columns = 4 * width;
    args.input = operands.matrix(items, picture.tokens, 4 * width, dtype);
    args.output = operands.matrix(items, picture.tokens, 4 * width, dtype);
    return args;
  });
  for (const bool noisy : {false, true}) {
    add(noisy ? "patchify_noise" : "patchify", &Backend::patchify, [=](Operands& operands) {
      Patchify args;
      args.items = items;
      args.height = picture.height;
      args.width = picture.width;
      args.patch_size = patch;
      args.grid_height = picture.grid_height;
      args.grid_width = picture.grid_width;
      args.image = operands.floats(picture.pixels);
      args.gaussian.sigma = noisy ? .5f : 0.f;
      args.patches = operands.matrix(items, picture.patches, channels * patch * patch, dtype);
      return args;
    });
  }
  add("copy_rows", &Backend::copy_rows, [=](Operands& operands) {
    CopyRows args;
    args.items = items;
    args.rows = picture.tokens;
    args.columns = width;
    args.source = operands.matrix(items, picture.tokens, width, DType::f32);
    args.destination = operands.matrix(items, picture.tokens, width, dtype);
    return args;
  });
}

/// Ops of a pass that know fp32 alone.
void register_fp32_pass(Target& target, index_t items, const Picture& picture) {
  const index_t width = target.sizes.width();
  const std::string size = size_name(DType::f32, items, picture.tokens);
  const auto add = [&](const char* op, const auto& entry, const auto& make) {
    register_op(target, joined({op, size}), entry, Bound::memory, make);
  };
  add("unpatchify_gradient", &Backend::unpatchify_gradient, [=](Operands& operands) {
    UnpatchifyGradient args;
    args.items = items;
    args.height = picture.height;
    args.width = picture.width;
    args.patch_size = patch;
    args.grid_height = picture.grid_height;
    args.grid_width = picture.grid_width;
    args.patches_gradient =
        operands.matrix(items, picture.patches, channels * patch * patch, DType::f32);
    args.image_gradient = operands.floats(items * picture.pixels);
    return args;
  });
  add("fill_gaussian", &Backend::fill_gaussian, [=](Operands& operands) {
    FillGaussian args;
    args.noise.sigma = 1.f;
    args.samples = items;
    args.elements = picture.pixels;
    args.output = operands.floats(items * picture.pixels);
    return args;
  });
  add("assemble_tokens", &Backend::assemble_tokens, [=](Operands& operands) {
    AssembleTokens args;
    args.items = items;
    args.num_patches = picture.patches;
    args.embed_dim = width;
    args.tokens = operands.floats(items * picture.tokens * width, 0.f);
    args.cls_token = operands.floats(width);
    args.position = operands.floats(picture.tokens * width, 0.f);
    return args;
  });
  add("assemble_tokens_backward", &Backend::assemble_tokens_backward, [=](Operands& operands) {
    AssembleTokensBackward args;
    args.items = items;
    args.num_patches = picture.patches;
    args.embed_dim = width;
    args.tokens_gradient = operands.floats(items * picture.tokens * width, 1e-3f);
    args.cls_gradient = operands.floats(width);
    args.position_gradient = operands.floats(picture.tokens * width);
    return args;
  });
}

/// Ops that an image meets once.
void register_once(Target& target, const Picture& picture) {
  const index_t width = target.sizes.width();
  const std::array<index_t, 2> photograph = target.sizes.photograph;
  const std::string size = std::to_string(picture.tokens);
  const auto add = [&](const char* op, const auto& entry, const auto& make) {
    register_op(target, joined({op, size}), entry, Bound::memory, make);
  };
  add("resample_position_embedding", &Backend::resample_position_embedding,
      [=](Operands& operands) {
        ResamplePositionEmbedding args;
        args.embed_dim = width;
        args.source_height = args.source_width = trained_side;
        args.grid_height = picture.grid_height;
        args.grid_width = picture.grid_width;
        args.source = operands.floats((1 + trained_side * trained_side) * width);
        args.output = operands.floats(picture.tokens * width);
        return args;
      });
  add("resample_position_embedding_backward", &Backend::resample_position_embedding_backward,
      [=](Operands& operands) {
        ResamplePositionEmbeddingBackward args;
        args.embed_dim = width;
        args.source_height = args.source_width = trained_side;
        args.grid_height = picture.grid_height;
        args.grid_width = picture.grid_width;
        args.output_gradient = operands.floats(picture.tokens * width, 1e-3f);
        args.source_gradient = operands.floats((1 + trained_side * trained_side) * width);
        return args;
      });
  add("min_max", &Backend::min_max, [=](Operands& operands) {
    return MinMax{picture.pixels, operands.floats(picture.pixels), operands.floats(2)};
  });
  add("resample_normalize", &Backend::resample_normalize, [=](Operands& operands) {
    ResampleNormalize args;
    args.source_height = photograph[0];
    args.source_width = photograph[1];
    args.source = operands.bytes(photograph[0] * photograph[1] * 3);
    args.resized_height = args.crop_height = picture.height;
    args.resized_width = args.crop_width = picture.width;
    args.output = operands.floats(picture.pixels);
    return args;
  });
  add("render_overlay", &Backend::render_overlay, [=](Operands& operands) {
    RenderOverlay args;
    args.grid_height = picture.grid_height;
    args.grid_width = picture.grid_width;
    args.map = operands.floats(picture.patches);
    args.height = picture.height;
    args.width = picture.width;
    args.image = operands.bytes(picture.pixels);
    args.colormap = operands.bytes(256 * 3);
    args.output = operands.bytes(picture.pixels);
    return args;
  });
}

}  // namespace

void register_elementwise(Target& target) {
  for (const auto& [height, width] : target.sizes.pictures) {
    const Picture picture{height, width};
    for (const index_t items : target.sizes.items) {
      for (const DType dtype : {DType::f32, DType::bf16}) {
        register_pass(target, dtype, items, picture);
      }
      register_fp32_pass(target, items, picture);
    }
    register_once(target, picture);
  }
}

}  // namespace vitsnna::bench
