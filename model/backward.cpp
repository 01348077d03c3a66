// Walks the blocks last to first: dx'' -> MLP -> dx' -> dO -> attention -> dx (SPEC sections 1, 2).
#include "model/backward.h"

#include <algorithm>
#include <string>

#include "kernels/error.h"
#include "model/backward_layers.h"

namespace vitsnna::model {

namespace {

using kernels::ConstMatrix;
using kernels::Matrix;

class BackwardRun {
 public:
  BackwardRun(const PassContext& context, const ForwardPass& pass, const BackwardRequest& request)
      : backward_(context, request.parameter_gradients),
        layers_(backward_.layers),
        weight_gradients_(backward_.weight_gradients),
        pass_(pass),
        request_(request),
        layout_(pass.layout),
        gradients_(layout_.items() * request.gradients),
        width_(layers_.config.embed_dim) {
    check();
  }

  BackwardPass run() {
    const index_t depth = layers_.config.depth;
    result_.attention_output_gradient.resize(static_cast<std::size_t>(depth));
    output_gradient(depth - 1) = layers_.allocate_operand({gradients_, 1, width_});
    const bool below = request_.depth != BackwardRequest::Depth::last_block;
    if (below && request_.keep_attention_gradients) {
      for (index_t block = 0; block + 1 < depth; ++block) {
        output_gradient(block) = layers_.allocate_operand(rows_of(width_));
      }
    }
    const bool to_embedding = request_.depth >= BackwardRequest::Depth::parameters;
    if (request_.depth == BackwardRequest::Depth::patches) {
      const index_t patch = layers_.config.patch_size;
      result_.patches_gradient = layers_.allocate_f32(
          {gradients_, pass_.grids.front().tokens() - 1, layers_.config.channels * patch * patch});
    }
    const engine::ArenaScope scope(layers_.arena);
    features_gradient();
    last_block_rows();
    if (request_.at_block) request_.at_block(depth - 1, output_gradient(depth - 1));
    if (!below || (depth == 1 && !to_embedding)) return std::move(result_);
    dx_ = layers_.allocate_f32(rows_of(width_));
    last_block_attention();
    gradients_final(depth - 1);
    for (index_t block = depth - 2; block >= 0; --block) {
      full_block(block, to_embedding);
      gradients_final(block);
    }
    if (!to_embedding) return std::move(result_);
    for (std::size_t group = 0; group < pass_.grids.size(); ++group) embedding(group);
    gradients_final(-1);
    return std::move(result_);
  }

 private:
  void check() const {
    if (!layers_.vit.runs_backward()) {
      throw Error("backward: a model prepared for forward passes alone");
    }
    if (layout_.items() != 1 && request_.gradients != 1) {
      throw Error("backward: " + std::to_string(layout_.items()) + " images with " +
                  std::to_string(request_.gradients) + " gradients each, one of them must be 1");
    }
    if (request_.depth != BackwardRequest::Depth::last_block &&
        pass_.blocks.size() != layers_.config.depth - 1) {
      throw Error("backward: below the last block it wants a recorded forward");
    }
    if (pass_.branch_factors.factors && request_.gradients != 1) {
      throw Error("backward: " + std::to_string(request_.gradients) +
                  " gradients an image of a pass with drop path, 1 wanted");
    }
    if (layout_.packed() && request_.depth == BackwardRequest::Depth::patches) {
      throw Error("backward: the patches' gradient wants images of one size");
    }
    if (request_.parameter_gradients && (request_.depth < BackwardRequest::Depth::parameters ||
                                         request_.gradients != 1 || pass_.patches.empty())) {
      throw Error(
          "backward: parameter gradients want depth `parameters` or `patches`, one gradient an "
          "image, and kept patches");
    }
  }

  void gradients_final(index_t block) const {
    if (weight_gradients_.wanted() && request_.gradients_final) request_.gradients_final(block);
  }

  /// Shape of `columns` numbers a token and gradient.
  engine::Shape rows_of(index_t columns) const {
    return layout_.shape(columns, request_.gradients);
  }
  /// The group's part of such a tensor.
  Tensor gradient_rows(const TokenLayout::Group& group, const Tensor& tensor) const {
    return layout_.rows_of(group, tensor, request_.gradients);
  }
  /// The group's part of a tensor with one row an item and gradient.
  Tensor gradient_items(const TokenLayout::Group& group, const Tensor& tensor) const {
    return tensor.items(group.first_item, group.items * request_.gradients);
  }

  const BlockWeights& weights(index_t block) const {
    return layers_.vit.weights().blocks[static_cast<std::size_t>(block)];
  }
  Tensor& output_gradient(index_t block) {
    return result_.attention_output_gradient[static_cast<std::size_t>(block)];
  }

  /// What scaled the token rows of a block's branch, from a slab's first on.
  kernels::RowFactors factors_of(index_t block, BranchFactors::Branch branch,
                                 index_t first = 0) const {
    return layout_.row_factors(pass_.branch_factors.of(block, branch, layout_.items()), first);
  }
  /// The same of the last block, which has one row an image.
  kernels::RowFactors last_factors(BranchFactors::Branch branch) const {
    kernels::RowFactors factors;
    factors.factors = pass_.branch_factors.of(layers_.config.depth - 1, branch, layout_.items());
    return factors;
  }

  void features_gradient() {
    features_ = request_.feature_gradient;
    if (!request_.logit_gradient) return;
    const index_t columns = layers_.config.head_blocks * width_;
    const index_t classes = layers_.config.num_classes;
    features_ = layers_.allocate_f32({gradients_, layers_.config.head_blocks, width_});
    const ConstMatrix logits{request_.logit_gradient.data, DType::f32, classes, classes};
    backward_.linear(gradients_, 1, logits, layers_.vit.weights().head,
                     {features_.data, DType::f32, columns, columns});
    weight_gradients_.linear(gradients_, 1, {pass_.features.data, DType::f32, columns, columns},
                             logits, layers_.vit.weights().head);
  }

  /// CLS rows of the last block, down to dO: leaves dx' of the CLS row in middle_.
  void last_block_rows() {
    const LastBlockRecord& last = pass_.last;
    const BlockWeights& block = weights(layers_.config.depth - 1);
    middle_ = layers_.allocate_f32({gradients_, 1, width_});
    backward_.layer_norm(
        gradients_, 1, last.output.matrix(), layout_.items(), layers_.vit.weights().norm,
        features_.rows_from(layers_.config.head_blocks - 1), middle_.matrix(), false);
    const engine::ArenaScope scope(layers_.arena);
    backward_.mlp(last.middle, last.pre_activation, block, last_factors(BranchFactors::mlp),
                  middle_);
    const Tensor operand = backward_.as_operand(middle_, last_factors(BranchFactors::attention));
    backward_.linear(operand, block.projection, output_gradient(layers_.config.depth - 1));
    weight_gradients_.linear(last.attended, operand, block.projection);
  }

  void last_block_attention() {
    const LastBlockRecord& last = pass_.last;
    const BlockWeights& block = weights(layers_.config.depth - 1);
    const engine::ArenaScope scope(layers_.arena);
    const Tensor query_gradient = layers_.allocate_operand({gradients_, 1, width_});
    const Tensor key_value_gradient = layers_.allocate_operand(rows_of(2 * width_));
    for (const TokenLayout::Group& group : layout_.groups()) {
      last_attention(group, query_gradient, key_value_gradient);
    }
    const Tensor normalised_gradient = layers_.allocate_f32(rows_of(width_));
    backward_.linear(key_value_gradient, block.key_value, normalised_gradient);
    for (const TokenLayout::Group& group : layout_.groups()) {
      const Tensor query = gradient_items(group, query_gradient);
      backward_.linear(query.shape[0], 1, query.matrix(), block.query,
                       gradient_rows(group, normalised_gradient).matrix(), {}, true);
    }
    if (weight_gradients_.wanted()) {
      const Tensor normalised = layers_.allocate_operand(rows_of(width_));
      layers_.layer_norm(last.input, block.norm1, normalised);
      weight_gradients_.linear(normalised, key_value_gradient, block.key_value);
      for (const TokenLayout::Group& group : layout_.groups()) {
        weight_gradients_.linear(group.items, 1, layout_.rows_of(group, normalised).matrix(),
                                 gradient_items(group, query_gradient).matrix(), block.query);
      }
    }
    backward_.layer_norm(last.input, block.norm1, normalised_gradient, dx_, false);
    for (const TokenLayout::Group& group : layout_.groups()) {
      const Tensor middle = gradient_items(group, middle_);
      kernels::CopyRows residual;  // the CLS row's residual around the attention
      residual.items = middle.shape[0];
      residual.rows = 1;
      residual.columns = width_;
      residual.source = middle.matrix();
      residual.destination = gradient_rows(group, dx_).matrix();
      residual.accumulate = true;
      layers_.ops.copy_rows(layers_.queue.raw(), residual);
    }
  }

  void last_attention(const TokenLayout::Group& group, const Tensor& query_gradient,
                      const Tensor& key_value_gradient) {
    const LastBlockRecord& last = pass_.last;
    const Tensor key_value = layout_.rows_of(group, last.key_value);
    const Tensor gradient = gradient_rows(group, key_value_gradient);
    const auto cls_rows = [&](const Tensor& tensor) {
      return tensor.items(group.first_item, group.items).matrix();
    };
    kernels::AttentionBackward attention;
    attention.shape = layers_.attention_shape(group.items, 1, group.tokens);
    attention.gradients = request_.gradients;
    attention.query = cls_rows(last.query);
    attention.key = key_value.columns_from(0);
    attention.value = key_value.columns_from(width_);
    attention.output = cls_rows(last.attended);
    attention.log_sum_exp = last.log_sum_exp.items(group.first_item, group.items).f32();
    attention.output_gradient =
        gradient_items(group, output_gradient(layers_.config.depth - 1)).matrix();
    attention.query_gradient = gradient_items(group, query_gradient).matrix();
    attention.key_gradient = gradient.columns_from(0);
    attention.value_gradient = gradient.columns_from(width_);
    layers_.ops.attention_backward(layers_.queue.raw(), attention);
  }

  void full_block(index_t index, bool to_embedding) {
    const BlockRecord& record = pass_.blocks[index];
    const BlockWeights& block = weights(index);
    const index_t slot = layers_.config.head_blocks - (layers_.config.depth - index);
    if (slot >= 0) {  // the head also reads this block's CLS
      const Tensor& output =
          index + 2 < layers_.config.depth ? pass_.blocks[index + 1].input : pass_.last.input;
      for (const TokenLayout::Group& group : layout_.groups()) {
        backward_.layer_norm(group.items * request_.gradients, 1,
                             layout_.rows_of(group, output).matrix(), group.items,
                             layers_.vit.weights().norm,
                             gradient_items(group, features_).rows_from(slot),
                             gradient_rows(group, dx_).matrix(), true);
      }
    }
    block_mlp(record, index);
    const engine::ArenaScope scope(layers_.arena);
    if (!output_gradient(index)) {
      attention_gradient_ = layers_.allocate_operand(rows_of(width_));
    } else {
      attention_gradient_ = output_gradient(index);
    }
    {
      const engine::ArenaScope operand_scope(layers_.arena);
      const Tensor operand = backward_.as_operand(dx_, factors_of(index, BranchFactors::attention));
      backward_.linear(operand, block.projection, attention_gradient_);
      weight_gradients_.linear(record.attended, operand, block.projection);
    }
    const kernels::RelevanceRows* capture =
        request_.at_block ? request_.at_block(index, attention_gradient_) : nullptr;
    if (index == 0 && !to_embedding) {
      if (capture) capture_alone(record, *capture);
    } else {
      block_attention(record, block, capture);
    }
  }

  /// The MLP's part of a block, a slab at a time to bound the hidden rows.
  void block_mlp(const BlockRecord& record, index_t index) {
    const BlockWeights& block = weights(index);
    const engine::ArenaScope scope(layers_.arena);
    const bool shared = request_.gradients > 1;  // every gradient belongs to the one item
    const index_t units = layout_.slab_units(request_.gradients);
    const index_t rows = layout_.rows_of_unit();
    const index_t slab = shared ? 1 : layers_.mlp_slab(units, rows);
    Tensor recomputed;
    if (!record.pre_activation) {
      recomputed = layers_.allocate_operand({slab, rows, layers_.config.mlp_hidden});
    }
    for (index_t first = 0; first < units; first += slab) {
      const index_t count = std::min(slab, units - first);
      const Tensor middle = shared ? record.middle : layout_.slab(record.middle, first, count);
      Tensor pre;
      if (record.pre_activation) {
        pre = shared ? record.pre_activation : layout_.slab(record.pre_activation, first, count);
      } else {
        pre = layout_.slab(recomputed, 0, count);
        if (!shared || first == 0) backward_.pre_activation(middle, block, pre);
      }
      backward_.mlp(middle, pre, block, factors_of(index, BranchFactors::mlp, first),
                    layout_.slab(dx_, first, count));
    }
  }

  void capture_alone(const BlockRecord& record, const kernels::RelevanceRows& capture) const {
    kernels::RelevanceRows rows = capture;
    rows.heads = layers_.config.num_heads;
    rows.head_dim = layers_.config.head_dim();
    rows.num_tokens = pass_.grids.front().tokens();
    rows.gradients = request_.gradients;
    rows.query = record.query_key_value.columns_from(0);
    rows.key = record.query_key_value.columns_from(width_);
    rows.value = record.query_key_value.columns_from(2 * width_);
    rows.log_sum_exp = record.log_sum_exp.f32();
    rows.output_gradient = attention_gradient_.matrix();
    layers_.ops.relevance_rows(layers_.queue.raw(), rows);
  }

  void block_attention(const BlockRecord& record, const BlockWeights& block,
                       const kernels::RelevanceRows* capture) {
    const Tensor qkv_gradient = layers_.allocate_operand(rows_of(3 * width_));
    for (const TokenLayout::Group& group : layout_.groups()) {
      group_attention(group, record, qkv_gradient, capture);
    }
    const Tensor normalised_gradient = layers_.allocate_operand(rows_of(width_));
    backward_.linear(qkv_gradient, block.query_key_value, normalised_gradient);
    if (weight_gradients_.wanted()) {
      const Tensor normalised = layers_.allocate_operand(rows_of(width_));
      layers_.layer_norm(record.input, block.norm1, normalised);
      weight_gradients_.linear(normalised, qkv_gradient, block.query_key_value);
    }
    backward_.layer_norm(record.input, block.norm1, normalised_gradient, dx_, true);
  }

  void group_attention(const TokenLayout::Group& group, const BlockRecord& record,
                       const Tensor& qkv_gradient, const kernels::RelevanceRows* capture) {
    const Tensor rows = layout_.rows_of(group, record.query_key_value);
    const Tensor gradient = gradient_rows(group, qkv_gradient);
    kernels::AttentionBackward attention;
    attention.shape = layers_.attention_shape(group.items, group.tokens, group.tokens);
    attention.gradients = request_.gradients;
    attention.query = rows.columns_from(0);
    attention.key = rows.columns_from(width_);
    attention.value = rows.columns_from(2 * width_);
    attention.output = layout_.rows_of(group, record.attended).matrix();
    attention.log_sum_exp = record.log_sum_exp.f32() + group.first_row * layers_.config.num_heads;
    attention.output_gradient = gradient_rows(group, attention_gradient_).matrix();
    attention.query_gradient = gradient.columns_from(0);
    attention.key_gradient = gradient.columns_from(width_);
    attention.value_gradient = gradient.columns_from(2 * width_);
    attention.capture = capture;
    layers_.ops.attention_backward(layers_.queue.raw(), attention);
  }

  void embedding(std::size_t index) {
    const engine::ArenaScope scope(layers_.arena);
    const TokenLayout::Group& group = layout_.groups()[index];
    const Tensor gradient = gradient_rows(group, dx_);
    const ConstMatrix operand = patch_rows(gradient);
    const LinearLayer& layer = layers_.vit.weights().patch_embedding;
    if (result_.patches_gradient) {
      backward_.linear(gradient.shape[0], group.tokens - 1, operand, layer,
                       result_.patches_gradient.matrix());
    }
    if (!weight_gradients_.wanted()) return;
    weight_gradients_.linear(group.items, group.tokens - 1, pass_.patches[index].matrix(), operand,
                             layer);
    weight_gradients_.embedding(pass_.grids[index], group.items, gradient);
  }

  /// The patches' rows of all images as operands. The CLS rows are left out of a copy, so that a
  /// GPU sums over all images in one product; a CPU goes image by image anyway and in fp32 reads
  /// the rows where they are.
  ConstMatrix patch_rows(const Tensor& gradient) const {
    const bool cpu = layers_.queue.device().kind == engine::Device::Kind::cpu;
    if (cpu && layers_.vit.precision() == DType::f32) return gradient.rows_from(1);
    const index_t items = gradient.shape[0], patches = gradient.shape[1] - 1;
    const Tensor result = layers_.allocate_operand({items, patches, width_});
    layers_.copy(items, patches, width_, gradient.rows_from(1), result.matrix());
    return result.matrix();
  }

  BackwardLayers backward_;
  const Layers& layers_;
  const WeightGradients& weight_gradients_;
  const ForwardPass& pass_;
  const BackwardRequest& request_;
  const TokenLayout& layout_;
  index_t gradients_, width_;
  BackwardPass result_;
  Tensor features_;            ///< dL/d features
  Tensor middle_;              ///< dL/dx' of the last block's CLS row
  Tensor dx_;                  ///< dL/dx of the residual stream, token rows of d
  Tensor attention_gradient_;  ///< dO of the block in hand
};

}  // namespace

BackwardPass backward(const PassContext& context, const ForwardPass& pass,
                      const BackwardRequest& request) {
  return BackwardRun(context, pass, request).run();
}

}  // namespace vitsnna::model
