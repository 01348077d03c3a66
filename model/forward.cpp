// x_0 = [cls; patches W_E + b] + pos;  x' = x + Attn(LN(x));  x'' = x' + MLP(LN(x'))  (SPEC 1)
#include "model/forward.h"

#include <string>

#include "kernels/error.h"
#include "model/layers.h"

namespace vitsnna::model {

namespace {

using kernels::Epilogue;

/// Attention mask of one block, null pointers where there is none.
struct BlockMask {
  const std::uint8_t* key_keep = nullptr;
  const std::uint8_t* query_keep = nullptr;
};

BlockMask mask_of(const ForwardInput& input, index_t block) {
  if (!input.attention_keep) return {};
  if (!input.attention_mask_first_block) return {input.attention_keep, nullptr};
  return block == 0 ? BlockMask{input.attention_keep, input.attention_keep} : BlockMask{};
}

class ForwardRun {
 public:
  ForwardRun(const PassContext& context, const GridEmbedding& grid, const ForwardInput& input,
             index_t items, const ForwardKeep& keep)
      : layers_(context),
        input_(input),
        keep_(keep),
        items_(items),
        tokens_(grid.tokens()),
        width_(layers_.config.embed_dim),
        pass_(context.arena) {
    pass_.items = items;
    pass_.grid = grid;
    pass_.height = input.images.height;
    pass_.width = input.images.width;
  }

  ForwardPass run() {
    const VitConfig& config = layers_.config;
    // What outlives the blocks comes first, so that the rest can be given back.
    pass_.features = layers_.allocate_f32({items_, config.head_blocks, width_});
    if (config.has_head()) pass_.logits = layers_.allocate_f32({items_, config.num_classes});
    allocate_last();
    const index_t patch_columns = config.channels * config.patch_size * config.patch_size;
    if (keep_.patches)
      pass_.patches = layers_.allocate_operand({items_, tokens_ - 1, patch_columns});
    const index_t mark = layers_.arena.mark();
    Tensor x = layers_.allocate_f32({items_, tokens_, width_});
    embed(x, patch_columns);
    for (index_t block = 0; block + 1 < config.depth; ++block) {
      x = keep_.record ? recorded_block(x, block) : block_in_place(x, block);
      const index_t slot = config.head_blocks - (config.depth - block);
      if (slot >= 0) feature(x.matrix(), slot);
    }
    last_block(x);
    feature(pass_.last.output.matrix(), config.head_blocks - 1);
    if (keep_.record) {
      pass_.last.input = x;
    } else {
      layers_.arena.release(mark);
    }
    if (config.has_head()) {
      kernels::ConstMatrix features{pass_.features.data, DType::f32, config.head_blocks * width_,
                                    config.head_blocks * width_};
      kernels::Matrix logits{pass_.logits.data, DType::f32, config.num_classes, config.num_classes};
      layers_.linear(items_, 1, features, layers_.vit.weights().head, logits);
    }
    return std::move(pass_);
  }

 private:
  const BlockWeights& weights(index_t block) const {
    return layers_.vit.weights().blocks[static_cast<std::size_t>(block)];
  }

  void allocate_last() {
    LastBlockRecord& last = pass_.last;
    last.query = layers_.allocate_operand({items_, 1, width_});
    last.key_value = layers_.allocate_operand({items_, tokens_, 2 * width_});
    last.log_sum_exp = layers_.allocate_f32({items_, layers_.config.num_heads, 1});
    last.attended = layers_.allocate_operand({items_, 1, width_});
    last.middle = layers_.allocate_f32({items_, 1, width_});
    last.pre_activation = layers_.allocate_operand({items_, 1, layers_.config.mlp_hidden});
    last.output = layers_.allocate_f32({items_, 1, width_});
  }

  void embed(const Tensor& x, index_t patch_columns) {
    const engine::ArenaScope scope(layers_.arena);
    const Tensor patches = keep_.patches
                               ? pass_.patches
                               : layers_.allocate_operand({items_, tokens_ - 1, patch_columns});
    kernels::Patchify patchify = input_.images;
    patchify.items = items_;
    patchify.channels = layers_.config.channels;
    patchify.patch_size = layers_.config.patch_size;
    patchify.grid_height = pass_.grid.height;
    patchify.grid_width = pass_.grid.width;
    patchify.patches = patches.matrix();
    layers_.ops.patchify(layers_.queue.raw(), patchify);
    layers_.linear(items_, tokens_ - 1, patches.matrix(), layers_.vit.weights().patch_embedding,
                   x.rows_from(1));
    kernels::AssembleTokens assemble;
    assemble.items = items_;
    assemble.num_patches = tokens_ - 1;
    assemble.embed_dim = width_;
    assemble.tokens = x.f32();
    assemble.cls_token = layers_.vit.weights().cls_token;
    assemble.position = pass_.grid.position.f32();
    assemble.patch_keep = input_.token_keep;
    layers_.ops.assemble_tokens(layers_.queue.raw(), assemble);
  }

  /// CLS row of a block's output, normalised, into its slot of the features.
  void feature(kernels::ConstMatrix x, index_t slot) {
    layers_.layer_norm(items_, 1, x, layers_.vit.weights().norm, pass_.features.rows_from(slot));
  }

  void attend(const Tensor& query_key_value, const Tensor& attended, float* log_sum_exp,
              const BlockMask& mask) {
    kernels::AttentionForward attention;
    attention.shape = layers_.attention_shape(items_, tokens_, tokens_);
    attention.query = query_key_value.columns_from(0);
    attention.key = query_key_value.columns_from(width_);
    attention.value = query_key_value.columns_from(2 * width_);
    attention.output = attended.matrix();
    attention.log_sum_exp = log_sum_exp;
    attention.key_keep = mask.key_keep;
    attention.query_keep = mask.query_keep;
    layers_.ops.attention_forward(layers_.queue.raw(), attention);
  }

  /// output += MLP(LN(middle)), where output already holds middle.
  void mlp(const Tensor& middle, const Tensor& output, const BlockWeights& block) {
    const engine::ArenaScope scope(layers_.arena);
    const index_t group = layers_.mlp_group(items_, tokens_);
    const Tensor normalised = layers_.allocate_operand({group, tokens_, width_});
    const Tensor hidden = layers_.allocate_operand({group, tokens_, layers_.config.mlp_hidden});
    for (index_t first = 0; first < items_; first += group) {
      const index_t count = std::min(group, items_ - first);
      layers_.layer_norm(count, tokens_, middle.items(first, count).matrix(), block.norm2,
                         normalised.matrix());
      layers_.linear(count, tokens_, normalised.matrix(), block.fc1, hidden.matrix(),
                     Epilogue::gelu);
      layers_.linear_add(count, tokens_, hidden.matrix(), block.fc2,
                         output.items(first, count).matrix());
    }
  }

  Tensor block_in_place(const Tensor& x, index_t index) {
    const BlockWeights& block = weights(index);
    {
      const engine::ArenaScope scope(layers_.arena);
      const Tensor normalised = layers_.allocate_operand({items_, tokens_, width_});
      const Tensor query_key_value = layers_.allocate_operand({items_, tokens_, 3 * width_});
      layers_.layer_norm(items_, tokens_, x.matrix(), block.norm1, normalised.matrix());
      layers_.linear(items_, tokens_, normalised.matrix(), block.query_key_value,
                     query_key_value.matrix());
      attend(query_key_value, normalised, nullptr, mask_of(input_, index));
      layers_.linear_add(items_, tokens_, normalised.matrix(), block.projection, x.matrix());
    }
    mlp(x, x, block);
    return x;
  }

  Tensor recorded_block(const Tensor& x, index_t index) {
    const BlockWeights& block = weights(index);
    BlockRecord& record = pass_.blocks.push();
    record.input = x;
    record.query_key_value = layers_.allocate_operand({items_, tokens_, 3 * width_});
    record.log_sum_exp = layers_.allocate_f32({items_, layers_.config.num_heads, tokens_});
    record.attended = layers_.allocate_operand({items_, tokens_, width_});
    record.middle = layers_.allocate_f32({items_, tokens_, width_});
    const Tensor output = layers_.allocate_f32({items_, tokens_, width_});
    {
      const engine::ArenaScope scope(layers_.arena);
      const Tensor normalised = layers_.allocate_operand({items_, tokens_, width_});
      layers_.layer_norm(items_, tokens_, x.matrix(), block.norm1, normalised.matrix());
      layers_.linear(items_, tokens_, normalised.matrix(), block.query_key_value,
                     record.query_key_value.matrix());
    }
    attend(record.query_key_value, record.attended, record.log_sum_exp.f32(),
           mask_of(input_, index));
    layers_.copy(items_, tokens_, width_, x.matrix(), record.middle.matrix());
    layers_.linear_add(items_, tokens_, record.attended.matrix(), block.projection,
                       record.middle.matrix());
    layers_.copy(items_, tokens_, width_, record.middle.matrix(), output.matrix());
    mlp(record.middle, output, block);
    return output;
  }

  void last_block(const Tensor& x) {
    const index_t index = layers_.config.depth - 1;
    const BlockWeights& block = weights(index);
    const LastBlockRecord& last = pass_.last;
    {
      const engine::ArenaScope scope(layers_.arena);
      const Tensor normalised = layers_.allocate_operand({items_, tokens_, width_});
      layers_.layer_norm(items_, tokens_, x.matrix(), block.norm1, normalised.matrix());
      layers_.linear(items_, 1, normalised.matrix(), block.query, last.query.matrix());
      layers_.linear(items_, tokens_, normalised.matrix(), block.key_value,
                     last.key_value.matrix());
    }
    kernels::AttentionForward attention;
    attention.shape = layers_.attention_shape(items_, 1, tokens_);
    attention.query = last.query.matrix();
    attention.key = last.key_value.columns_from(0);
    attention.value = last.key_value.columns_from(width_);
    attention.output = last.attended.matrix();
    attention.log_sum_exp = last.log_sum_exp.f32();
    attention.key_keep = mask_of(input_, index).key_keep;  // the CLS query itself is never masked
    layers_.ops.attention_forward(layers_.queue.raw(), attention);
    layers_.copy(items_, 1, width_, x.matrix(), last.middle.matrix());
    layers_.linear_add(items_, 1, last.attended.matrix(), block.projection, last.middle.matrix());
    layers_.copy(items_, 1, width_, last.middle.matrix(), last.output.matrix());
    const engine::ArenaScope scope(layers_.arena);
    const Tensor normalised = layers_.allocate_operand({items_, 1, width_});
    const Tensor hidden = layers_.allocate_operand({items_, 1, layers_.config.mlp_hidden});
    layers_.layer_norm(items_, 1, last.middle.matrix(), block.norm2, normalised.matrix());
    kernels::Linear fc1;
    fc1.items = items_;
    fc1.rows = 1;
    fc1.input = normalised.matrix();
    fc1.weight = block.fc1.forward;
    fc1.bias = block.fc1.bias;
    fc1.epilogue = Epilogue::gelu;
    fc1.output = hidden.matrix();
    fc1.pre_activation = last.pre_activation.matrix();
    layers_.ops.linear(layers_.queue.raw(), fc1);
    layers_.linear_add(items_, 1, hidden.matrix(), block.fc2, last.output.matrix());
  }

  Layers layers_;
  const ForwardInput& input_;
  ForwardKeep keep_;
  index_t items_, tokens_, width_;
  ForwardPass pass_;
};

}  // namespace

GridEmbedding embed_grid(const PassContext& context, index_t image_height, index_t image_width) {
  context.queue.require(context.vit.device(), "the model");
  if (!context.arena.is_planning() && context.arena.backend() != &context.queue.backend()) {
    throw Error("arena: its memory is on " + std::string(context.arena.backend()->name) +
                ", the queue on " + context.queue.device().name() + "; one device wanted");
  }
  const VitConfig& config = context.vit.config();
  const index_t patch = config.patch_size;
  if (image_height < patch || image_width < patch || image_height % patch || image_width % patch) {
    throw Error("image of " + std::to_string(image_height) + "x" + std::to_string(image_width) +
                ": both sides must be positive multiples of the patch size " +
                std::to_string(patch));
  }
  GridEmbedding grid;
  grid.height = image_height / patch;
  grid.width = image_width / patch;
  grid.position = context.arena.allocate(DType::f32, {grid.tokens(), config.embed_dim});
  kernels::ResamplePositionEmbedding resample;
  resample.embed_dim = config.embed_dim;
  resample.source_height = config.trained_grid_height;
  resample.source_width = config.trained_grid_width;
  resample.grid_height = grid.height;
  resample.grid_width = grid.width;
  resample.source = context.vit.weights().position_embedding;
  resample.output = grid.position.f32();
  context.queue.backend().resample_position_embedding(context.queue.raw(), resample);
  return grid;
}

ForwardPass forward(const PassContext& context, const GridEmbedding& grid,
                    const ForwardInput& input, index_t items, const ForwardKeep& keep) {
  return ForwardRun(context, grid, input, items, keep).run();
}

void cls_attention(const PassContext& context, const ForwardPass& pass, index_t block,
                   Tensor probabilities) {
  const Layers layers(context);
  const index_t width = layers.config.embed_dim;
  kernels::AttentionProbabilities rows;
  rows.shape = layers.attention_shape(pass.items, 1, pass.grid.tokens());
  if (block == layers.config.depth - 1) {
    rows.query = pass.last.query.matrix();
    rows.key = pass.last.key_value.columns_from(0);
  } else {
    rows.query = pass.blocks[block].query_key_value.columns_from(0);
    rows.key = pass.blocks[block].query_key_value.columns_from(width);
  }
  rows.probabilities = probabilities.f32();
  layers.ops.attention_probabilities(layers.queue.raw(), rows);
}

}  // namespace vitsnna::model
