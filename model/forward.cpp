// x_0 = [cls; patches W_E + b] + pos;  x' = x + s Attn(LN(x));  x'' = x' + t MLP(LN(x'))  (SPEC 1),
// with s and t 1 but for drop path's factors.
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
  ForwardRun(const PassContext& context, std::span<const ImageGroup> groups,
             const ForwardKeep& keep, const BranchFactors& factors)
      : layers_(context),
        groups_(groups),
        keep_(keep),
        width_(layers_.config.embed_dim),
        pass_(context.arena),
        layout_(pass_.layout) {
    pass_.branch_factors = factors;
    for (const ImageGroup& group : groups) {
      layout_.add(group.items, group.grid.tokens());
      pass_.grids.push_back(group.grid);
    }
  }

  ForwardPass run() {
    const VitConfig& config = layers_.config;
    const index_t items = layout_.items();
    // What outlives the blocks comes first, so that the rest can be given back.
    pass_.features = layers_.allocate_f32({items, config.head_blocks, width_});
    if (config.has_head()) pass_.logits = layers_.allocate_f32({items, config.num_classes});
    allocate_last();
    if (keep_.patches) {
      for (const ImageGroup& group : groups_) pass_.patches.push_back(allocate_patches(group));
    }
    const index_t mark = layers_.arena.mark();
    Tensor x = layers_.allocate_f32(layout_.shape(width_));
    for (std::size_t group = 0; group < groups_.size(); ++group) embed(x, group);
    for (index_t block = 0; block + 1 < config.depth; ++block) {
      x = keep_.record ? recorded_block(x, block) : block_in_place(x, block);
      const index_t slot = config.head_blocks - (config.depth - block);
      if (slot < 0) continue;
      for (const TokenLayout::Group& group : layout_.groups()) {
        feature(group, layout_.rows_of(group, x).matrix(), slot);
      }
    }
    last_block(x);
    layers_.layer_norm(items, 1, pass_.last.output.matrix(), layers_.vit.weights().norm,
                       pass_.features.rows_from(config.head_blocks - 1));
    if (keep_.record) {
      pass_.last.input = x;
    } else {
      layers_.arena.release(mark);
    }
    if (config.has_head()) {
      kernels::ConstMatrix features{pass_.features.data, DType::f32, config.head_blocks * width_,
                                    config.head_blocks * width_};
      kernels::Matrix logits{pass_.logits.data, DType::f32, config.num_classes, config.num_classes};
      layers_.linear(items, 1, features, layers_.vit.weights().head, logits);
    }
    return std::move(pass_);
  }

 private:
  const BlockWeights& weights(index_t block) const {
    return layers_.vit.weights().blocks[static_cast<std::size_t>(block)];
  }
  const ForwardInput& input_of(const TokenLayout::Group& group) const {
    return groups_[static_cast<std::size_t>(&group - layout_.groups().data())].input;
  }

  void allocate_last() {
    LastBlockRecord& last = pass_.last;
    const index_t items = layout_.items();
    last.query = layers_.allocate_operand({items, 1, width_});
    last.key_value = layers_.allocate_operand(layout_.shape(2 * width_));
    last.log_sum_exp = layers_.allocate_f32({items, layers_.config.num_heads, 1});
    last.attended = layers_.allocate_operand({items, 1, width_});
    last.middle = layers_.allocate_f32({items, 1, width_});
    last.pre_activation = layers_.allocate_operand({items, 1, layers_.config.mlp_hidden});
    last.output = layers_.allocate_f32({items, 1, width_});
  }

  Tensor allocate_patches(const ImageGroup& group) const {
    const VitConfig& config = layers_.config;
    return layers_.allocate_operand({group.items, group.grid.tokens() - 1,
                                     config.channels * config.patch_size * config.patch_size});
  }

  void embed(const Tensor& x, std::size_t index) {
    const ImageGroup& group = groups_[index];
    const engine::ArenaScope scope(layers_.arena);
    const Tensor patches = keep_.patches ? pass_.patches[index] : allocate_patches(group);
    const Tensor rows = layout_.rows_of(layout_.groups()[index], x);
    kernels::Patchify patchify = group.input.images;
    patchify.items = group.items;
    patchify.channels = layers_.config.channels;
    patchify.patch_size = layers_.config.patch_size;
    patchify.grid_height = group.grid.height;
    patchify.grid_width = group.grid.width;
    patchify.patches = patches.matrix();
    layers_.ops.patchify(layers_.queue.raw(), patchify);
    layers_.linear(group.items, group.grid.tokens() - 1, patches.matrix(),
                   layers_.vit.weights().patch_embedding, rows.rows_from(1));
    kernels::AssembleTokens assemble;
    assemble.items = group.items;
    assemble.num_patches = group.grid.tokens() - 1;
    assemble.embed_dim = width_;
    assemble.tokens = rows.f32();
    assemble.cls_token = layers_.vit.weights().cls_token;
    assemble.position = group.grid.position.f32();
    assemble.patch_keep = group.input.token_keep;
    layers_.ops.assemble_tokens(layers_.queue.raw(), assemble);
  }

  /// CLS rows of a block's output, normalised, into their slot of the features.
  void feature(const TokenLayout::Group& group, kernels::ConstMatrix x, index_t slot) {
    layers_.layer_norm(group.items, 1, x, layers_.vit.weights().norm,
                       pass_.features.items(group.first_item, group.items).rows_from(slot));
  }

  void attend(const Tensor& query_key_value, const Tensor& attended, float* log_sum_exp,
              index_t block) {
    for (const TokenLayout::Group& group : layout_.groups()) {
      const Tensor rows = layout_.rows_of(group, query_key_value);
      const BlockMask mask = mask_of(input_of(group), block);
      kernels::AttentionForward attention;
      attention.shape = layers_.attention_shape(group.items, group.tokens, group.tokens);
      attention.query = rows.columns_from(0);
      attention.key = rows.columns_from(width_);
      attention.value = rows.columns_from(2 * width_);
      attention.output = layout_.rows_of(group, attended).matrix();
      if (log_sum_exp) {
        attention.log_sum_exp = log_sum_exp + group.first_row * layers_.config.num_heads;
      }
      attention.key_keep = mask.key_keep;
      attention.query_keep = mask.query_keep;
      layers_.ops.attention_forward(layers_.queue.raw(), attention);
    }
  }

  /// Of a branch of every image.
  const float* factors_of(index_t block, BranchFactors::Branch branch) const {
    return pass_.branch_factors.of(block, branch, layout_.items());
  }

  /// output = middle + factor MLP(LN(middle)); they may be one.
  void mlp(const Tensor& middle, const Tensor& output, index_t index,
           const Tensor& pre_activation = {}) {
    const BlockWeights& block = weights(index);
    const float* factors = factors_of(index, BranchFactors::mlp);
    const engine::ArenaScope scope(layers_.arena);
    const index_t units = layout_.slab_units();
    const index_t slab = layers_.mlp_slab(units, layout_.rows_of_unit());
    const index_t rows = layout_.rows_of_unit();
    const Tensor all_normalised = layers_.allocate_operand({slab, rows, width_});
    const Tensor all_hidden = layers_.allocate_operand({slab, rows, layers_.config.mlp_hidden});
    for (index_t first = 0; first < units; first += slab) {
      const index_t count = std::min(slab, units - first);
      const Tensor input = layout_.slab(middle, first, count);
      const Tensor normalised = layout_.slab(all_normalised, 0, count);
      const Tensor hidden = layout_.slab(all_hidden, 0, count);
      layers_.layer_norm(input, block.norm2, normalised);
      layers_.mlp_hidden(normalised, block.fc1, hidden,
                         pre_activation ? layout_.slab(pre_activation, first, count) : Tensor{});
      layers_.linear_add(hidden, block.fc2, input, layout_.row_factors(factors, first),
                         layout_.slab(output, first, count));
    }
  }

  /// output = x + factor (attended W^T + b)
  void add_attention(const Tensor& attended, const Tensor& x, index_t block, const Tensor& output) {
    layers_.linear_add(attended, weights(block).projection, x,
                       layout_.row_factors(factors_of(block, BranchFactors::attention)), output);
  }

  Tensor block_in_place(const Tensor& x, index_t index) {
    const BlockWeights& block = weights(index);
    {
      const engine::ArenaScope scope(layers_.arena);
      const Tensor normalised = layers_.allocate_operand(layout_.shape(width_));
      const Tensor query_key_value = layers_.allocate_operand(layout_.shape(3 * width_));
      layers_.layer_norm(x, block.norm1, normalised);
      layers_.linear(normalised, block.query_key_value, query_key_value);
      attend(query_key_value, normalised, nullptr, index);
      add_attention(normalised, x, index, x);
    }
    mlp(x, x, index);
    return x;
  }

  Tensor recorded_block(const Tensor& x, index_t index) {
    const BlockWeights& block = weights(index);
    BlockRecord& record = pass_.blocks.push();
    record.input = x;
    record.query_key_value = layers_.allocate_operand(layout_.shape(3 * width_));
    record.log_sum_exp = layers_.allocate_f32({layout_.rows(), layers_.config.num_heads});
    record.attended = layers_.allocate_operand(layout_.shape(width_));
    record.middle = layers_.allocate_f32(layout_.shape(width_));
    if (keep_.pre_activations) {
      record.pre_activation = layers_.allocate_operand(layout_.shape(layers_.config.mlp_hidden));
    }
    const Tensor output = layers_.allocate_f32(layout_.shape(width_));
    {
      const engine::ArenaScope scope(layers_.arena);
      const Tensor normalised = layers_.allocate_operand(layout_.shape(width_));
      layers_.layer_norm(x, block.norm1, normalised);
      layers_.linear(normalised, block.query_key_value, record.query_key_value);
    }
    attend(record.query_key_value, record.attended, record.log_sum_exp.f32(), index);
    add_attention(record.attended, x, index, record.middle);
    mlp(record.middle, output, index, record.pre_activation);
    return output;
  }

  void last_block(const Tensor& x) {
    const BlockWeights& block = weights(layers_.config.depth - 1);
    const LastBlockRecord& last = pass_.last;
    {
      const engine::ArenaScope scope(layers_.arena);
      const Tensor normalised = layers_.allocate_operand(layout_.shape(width_));
      layers_.layer_norm(x, block.norm1, normalised);
      for (const TokenLayout::Group& group : layout_.groups()) {
        layers_.linear(group.items, 1, layout_.rows_of(group, normalised).matrix(), block.query,
                       last.query.items(group.first_item, group.items).matrix());
      }
      layers_.linear(normalised, block.key_value, last.key_value);
    }
    for (const TokenLayout::Group& group : layout_.groups()) last_attention(group, x);
    layers_.linear_add(last.attended, block.projection, last.middle,
                       last_factors(BranchFactors::attention), last.middle);
    const engine::ArenaScope scope(layers_.arena);
    const Tensor normalised = layers_.allocate_operand({layout_.items(), 1, width_});
    const Tensor hidden = layers_.allocate_operand({layout_.items(), 1, layers_.config.mlp_hidden});
    layers_.layer_norm(last.middle, block.norm2, normalised);
    layers_.mlp_hidden(normalised, block.fc1, hidden, last.pre_activation);
    layers_.linear_add(hidden, block.fc2, last.middle, last_factors(BranchFactors::mlp),
                       last.output);
  }

  /// Of the last block, which has one row an image.
  kernels::RowFactors last_factors(BranchFactors::Branch branch) const {
    kernels::RowFactors factors;
    factors.factors = factors_of(layers_.config.depth - 1, branch);
    return factors;
  }

  /// The CLS query's attention, and its residual's row.
  void last_attention(const TokenLayout::Group& group, const Tensor& x) {
    const LastBlockRecord& last = pass_.last;
    const Tensor key_value = layout_.rows_of(group, last.key_value);
    kernels::AttentionForward attention;
    attention.shape = layers_.attention_shape(group.items, 1, group.tokens);
    attention.query = last.query.items(group.first_item, group.items).matrix();
    attention.key = key_value.columns_from(0);
    attention.value = key_value.columns_from(width_);
    attention.output = last.attended.items(group.first_item, group.items).matrix();
    attention.log_sum_exp = last.log_sum_exp.items(group.first_item, group.items).f32();
    // The CLS query itself is never masked.
    attention.key_keep = mask_of(input_of(group), layers_.config.depth - 1).key_keep;
    layers_.ops.attention_forward(layers_.queue.raw(), attention);
    layers_.copy(group.items, 1, width_, layout_.rows_of(group, x).matrix(),
                 last.middle.items(group.first_item, group.items).matrix());
  }

  Layers layers_;
  std::span<const ImageGroup> groups_;
  ForwardKeep keep_;
  index_t width_;
  ForwardPass pass_;
  TokenLayout& layout_;
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
  const ImageGroup group{grid, input, items};
  return forward(context, std::span(&group, 1), keep);
}

ForwardPass forward(const PassContext& context, std::span<const ImageGroup> groups,
                    const ForwardKeep& keep, const BranchFactors& factors) {
  if (groups.empty()) throw Error("forward: no images");
  return ForwardRun(context, groups, keep, factors).run();
}

void cls_attention(const PassContext& context, const ForwardPass& pass, index_t block,
                   Tensor probabilities) {
  const Layers layers(context);
  const index_t width = layers.config.embed_dim;
  kernels::AttentionProbabilities rows;
  rows.shape = layers.attention_shape(pass.layout.items(), 1, pass.grids.front().tokens());
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
